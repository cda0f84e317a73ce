"""The emitter with a spool: what waits is on the disk, and stays there until the database has it.

    made ─▶ spool (disk) ─▶ broker ─▶ Celery ─▶ database ─▶ "stored" ─▶ removed from the spool

A record is in its file before `emit` returns, so a gateway that is killed loses none; within a second it is
on the disk itself. A batch that the broker has taken is handed over again when the broker has lost its
memory, when nobody has said for an hour that it is stored, and by the next process when this one ends. Where
the disk takes nothing, records wait in memory as they do without a spool.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from faults.pauses import pause_s
from metering import emit, stored, tasks
from metering.emit import BATCH, Emitter, Record
from metering.spool import Batch, Segment, Spool, SpoolError
from wire.tasks import end

log = logging.getLogger(__name__)

SYNC_EVERY_S = 1.0
LOOK_EVERY_S = 0.5
ADOPT_EVERY_S = 60.0
# With the broker at a time. The rest waits here, where there is more room.
MAX_IN_FLIGHT = 200
# Celery itself gives a task of a lost worker to another one after an hour.
AGAIN_AFTER_S, LONGEST_AGAIN_S = 3600.0, 86_400.0
REMIND_EVERY_S = 600.0  # also when nothing is under way, so that nothing is forgotten by the passing of time
STORED_WITHIN_S = 1.0  # after the last has been handed over, when the gateway stops

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(tuple[str, dict[str, Any]])


class Broker(Protocol):
    """Called in threads."""

    def send(self, task: str, records: list[dict[str, Any]], batch: str) -> None: ...

    def look(self, batches: Sequence[str]) -> tuple[bool, set[str]]:
        """Whether it has forgotten everything since it was last asked; and which of these are stored."""


class CeleryBroker:
    """Celery on Valkey, for one gateway process."""

    def __init__(self) -> None:
        self._name = uuid.uuid4().hex

    def send(self, task: str, records: list[dict[str, Any]], batch: str) -> None:
        emit.send_to_celery(task, records, batch)

    def look(self, batches: Sequence[str]) -> tuple[bool, set[str]]:
        return stored.look(self._name, batches)


@dataclass(eq=False)
class _Handed:
    batch: Batch
    again_at: float
    patience_s: float


class SpooledEmitter(Emitter):
    def __init__(self, spool: Spool, broker: Broker, on_lost: Callable[[], None] = lambda: None) -> None:
        super().__init__(lambda task, records: broker.send(task, records, ""), on_lost)
        self.broken = False  # the disk takes nothing
        self._spool, self._broker = spool, broker
        self._in_flight: dict[str, _Handed] = {}
        self._again: deque[str] = deque()
        self._due = asyncio.Event()
        self._handed_over, self._all_stored = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        super().start()
        loops = (self._hand_over_forever, self._sync_forever, self._look_forever, self._adopt_forever)
        self._tasks = [asyncio.create_task(_kept_up(loop), name=f"spool {loop.__name__}") for loop in loops]
        self._note()

    async def stop(self, within_s: float) -> int:
        """As without a spool; but what could not be handed over lies there for the next process."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._handed_over.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(within_s, STORED_WITHIN_S)):
                await self._all_stored.wait()
        lost = await super().stop(within_s)
        await end(self._tasks)
        left = self._spool.waiting
        if left:
            log.warning("usage spool: %d records wait in %s for the next start", left, self._spool.folder)
        await asyncio.to_thread(self._sync)
        self._spool.close()
        return lost + left

    def emit(self, records: Sequence[Record]) -> None:
        kept, lines, size = [], [], 0
        for record in records:
            line = _encode((record.task, record.as_dict())) + b"\n"
            if size + len(line) > self._spool.room:
                self._lose(record)
            else:
                kept.append(record)
                lines.append(line)
                size += len(line)
        try:
            self._spool.append(lines)
        except SpoolError as error:
            if not self.broken:
                log.error("usage spool: %s; until it works again, usage waits in memory", error)
            self.broken = True
            super().emit(kept)
        else:
            if self.broken:
                log.warning("usage spool: %s works again", self._spool.folder)
            self.broken = False
            self._note()

    @property
    def waiting(self) -> int:
        return self._spool.waiting + super().waiting

    @property
    def spooled_bytes(self) -> int:  # type: ignore[override]
        return self._spool.bytes

    @property
    def full(self) -> bool:
        return self._spool.full or super().full

    # ---- to the broker

    async def _hand_over_forever(self) -> None:
        tries = 0
        while True:
            await self._due.wait()
            batch = self._next()
            if batch is None:
                self._due.clear()
                continue
            again = batch.id in self._in_flight
            try:
                lines, until = await asyncio.to_thread(
                    self._spool.read, batch.segment, batch.start, batch.end
                )
            except OSError as error:
                if not again or batch.id in self._in_flight:  # else it is stored meanwhile, and gone
                    await self._give_up(batch.segment, error)
                continue
            task, records, used = _understood(lines, batch)
            batch.end = min(until, batch.start + sum(len(line) + 1 for line in lines[:used]))
            try:
                if records:
                    await asyncio.to_thread(self._broker.send, task, records, batch.id)
            except Exception as error:
                # Sent or not, nobody knows; sending again is safe because the ids are the same.
                log.warning("usage: broker: %s; %d records wait", type(error).__name__, self.waiting)
                tries += 1
                await asyncio.sleep(
                    pause_s(tries, first_s=emit.FIRST_PAUSE_S, longest_s=emit.LONGEST_PAUSE_S)
                )
                continue
            tries = 0
            if again:
                self._handed_again(batch)
            else:
                self._handed(batch, used)
            if not records:
                await self._stored({batch.id})

    def _next(self) -> Batch | None:
        """One again, or what comes next."""
        while self._again and self._again[0] not in self._in_flight:
            self._again.popleft()  # stored meanwhile
        if self._again:
            return self._in_flight[self._again[0]].batch
        segment = self._spool.take() if len(self._in_flight) < MAX_IN_FLIGHT else None
        return None if segment is None else Batch(segment, segment.taken, segment.size)

    def _handed(self, batch: Batch, lines: int) -> None:
        again_at = asyncio.get_running_loop().time() + AGAIN_AFTER_S
        self._spool.taken(batch, lines)
        self._in_flight[batch.id] = _Handed(batch, again_at, AGAIN_AFTER_S)
        self._note()

    def _handed_again(self, batch: Batch) -> None:
        with suppress(ValueError):
            self._again.remove(batch.id)
        if handed := self._in_flight.get(batch.id):  # and not stored meanwhile
            handed.patience_s = min(handed.patience_s * 2, LONGEST_AGAIN_S)
            handed.again_at = asyncio.get_running_loop().time() + handed.patience_s

    async def _give_up(self, segment: Segment, error: OSError) -> None:
        log.error("usage spool: cannot read %s: %s; it is left there", segment.path, error.strerror or error)
        for name in [name for name, handed in self._in_flight.items() if handed.batch.segment is segment]:
            del self._in_flight[name]
        self._spool.forget(segment)
        await asyncio.to_thread(self._spool.dispose, [segment], keep=True)
        self._note()

    # ---- from the database, by way of the broker

    async def _look_forever(self) -> None:
        loop = asyncio.get_running_loop()
        asked_once, ask_by = False, 0.0
        while True:
            asked = list(self._in_flight)
            if asked or loop.time() >= ask_by:
                try:
                    forgot, known = await asyncio.to_thread(self._broker.look, asked)
                except Exception as error:
                    log.debug("usage: broker: %s", type(error).__name__)  # who hands over says it
                else:
                    await self._stored(known)
                    # Who is asked for the first time has nothing to remember.
                    self._plan_again(forgot and asked_once)
                    asked_once, ask_by = True, loop.time() + REMIND_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)

    def _plan_again(self, forgot: bool) -> None:
        """Also what was handed over while it was asked: before or after its memory went, nobody knows."""
        now = asyncio.get_running_loop().time()
        due = [
            name
            for name, handed in self._in_flight.items()
            if (forgot or now >= handed.again_at) and name not in self._again
        ]
        if not due:
            return
        log.warning(
            "usage: %d batches are handed over again: %s",
            len(due),
            "the broker has lost its memory" if forgot else "nobody has said that they are stored",
        )
        self._again.extend(due)
        self._due.set()

    async def _stored(self, names: set[str]) -> None:
        batches = [handed.batch for name in names if (handed := self._in_flight.pop(name, None))]
        done = self._spool.stored(batches)
        self._note()
        if done:
            await asyncio.to_thread(self._spool.dispose, done)

    def _note(self) -> None:
        """Something has come or gone."""
        self._due.set()
        for event, true in (
            (self._handed_over, not self._spool.waiting),
            (self._all_stored, not self._spool.waiting and not self._in_flight),
        ):
            if true:
                event.set()
            else:
                event.clear()

    # ---- the disk

    async def _sync_forever(self) -> None:
        while True:
            await asyncio.sleep(SYNC_EVERY_S)
            await asyncio.to_thread(self._sync)

    def _sync(self) -> None:
        try:
            self._spool.sync()
        except OSError as error:
            log.error("usage spool: %s: %s", self._spool.folder, error.strerror or error)

    async def _adopt_forever(self) -> None:
        while True:
            found = await asyncio.to_thread(self._spool.adopt)
            self._spool.add(found)
            if found:
                lines = sum(segment.lines for segment in found)
                log.warning("usage spool: %d records that another process left are handed over", lines)
                self._note()
            await asyncio.sleep(ADOPT_EVERY_S)


async def _kept_up(loop: Callable[[], Awaitable[None]]) -> None:
    """Whatever happens, the next record is handled."""
    while True:
        try:
            await loop()
        except Exception:
            log.exception("usage spool: begun again")
            await asyncio.sleep(emit.LONGEST_PAUSE_S)


def _understood(lines: list[bytes], batch: Batch) -> tuple[str, list[dict[str, Any]], int]:
    """The records at the beginning that one task takes, and how many lines that is."""
    task, records, used = "", [], 0
    for line in lines[:BATCH]:
        try:
            whose, record = _decoder.decode(line)
            if whose not in tasks.BY_NAME:
                raise msgspec.DecodeError("no task has this name")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # Its content is not shown: whatever it is, it is not what it should be.
            where = batch.segment.path, batch.start
            log.error("usage spool: %s: left out a damaged record after byte %d: %s", *where, error)
        else:
            if task not in ("", whose):
                break
            task = whose
            records.append(record)
        used += 1
    return task, records, used
