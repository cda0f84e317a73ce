"""Keeps what a stream needs to go on: in Valkey how far it is, here also its audio, for a while.

A client that comes back to the same gateway goes on where its audio ended; one that comes to another sends
again from where that one begins. Nothing here is waited for while a stream runs: what has changed is written
a few times a second, and a final that was said since then is in the token that came with it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

import msgspec
from redis.exceptions import RedisError

from faults.pauses import pause_s
from gateway import telemetry
from gateway.errors import Unavailable
from gateway.lane import Lane
from gateway.resume import state
from gateway.resume.errors import ResumeConflict, ResumeForeign, ResumeLate
from gateway.resume.records import Answer, Claimed, End, Kept, Records, Save
from gateway.resume.sealed import seal, unseal
from gateway.resume.state import MAX_GENERATION, Record, Stand, Told
from gateway.resume.token import Token
from metering import requests
from metering.fields import Malformed
from metering.requests import Request
from tenants.access import KeyGrant
from wire.tasks import end

log = logging.getLogger(__name__)

WRITE_EVERY_S, LONGEST_PAUSE_S = 0.25, 2.0
# A stream of which nothing changes says so often that it is still held.
REFRESH_EVERY_S = 2.0
REAP_EVERY_S = 1.0
CLAIM_WITHIN_S = 3.0
MAX_PARKED = 512
MAX_PARKED_BYTES = 256 * 1024 * 1024
MAX_LEAVING = 5_000
# Their encoding holds up the loop: some milliseconds.
WRITE_AT_ONCE = 100
REAP_AT_ONCE = 200
AWAY = (RedisError, OSError, TimeoutError)

Some = TypeVar("Some")


class Held(Protocol):
    """A stream that can be resumed, as its keeper sees it."""

    generation: int

    @property
    def id(self) -> str: ...

    def record(self) -> Record: ...

    def log_entry(self) -> Request:
        """What the request log is to have if it is heard of no more."""

    def let_go(self) -> None:
        """Its client has come back here. End it at once, and leave to the keeper all that it has."""

    def lose(self) -> None:
        """Its client is on another connection by now, and the keeper has forgotten it. End it at once."""


@dataclass
class _Open:
    stream: Held
    changed: bool = True
    written_at: float = -math.inf
    written_seq: int = 0  # Valkey has the finals before it, if it has had them at all

    def save(self, record: Record, *, held: bool) -> Save:
        stream = self.stream
        new = _sealed(stream.id, (told for told in record.finals if told.seq >= self.written_seq))
        entry = msgspec.json.encode(stream.log_entry())
        stand = seal(state.encode(record.stand), stream.id)
        return Save(stream.id, stream.generation, held, stand, entry, new, len(record.finals))


@dataclass(frozen=True)
class Parked:
    """A stream without a client: all of it is here."""

    generation: int
    lanes: tuple[Lane, ...]
    record: Record
    until: float

    @property
    def size(self) -> int:
        return sum(lane.kept_bytes for lane in self.lanes)


@dataclass(frozen=True)
class Resumption:
    """A stream that somebody has come back to."""

    stream: str
    generation: int
    opened_at: int
    record: Record
    lanes: tuple[Lane, ...] | None  # with their audio, where that is here
    missed: tuple[Told, ...]


class Keeper:
    def __init__(
        self,
        records: Records,
        window_s: float,
        log_requests: Callable[[list[Request]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.window_s = window_s
        self._records, self._clock = records, clock
        self._log_requests = log_requests
        self._open: dict[str, _Open] = {}
        self._leaving: dict[str, Save | End] = {}
        self._parked: OrderedDict[str, Parked] = OrderedDict()
        self._reaped_at = -math.inf
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._write_forever(), name="keep streams")

    async def stop(self) -> None:
        """What Valkey cannot be told is at least in the request log."""
        if self._task is not None:
            await end([self._task])
        try:
            await self._write()
        except Exception as error:  # whatever it is: usage is still to be handed over after this
            log.warning("streams that may be resumed: stopped without a last word: %s", type(error).__name__)
            left = [one.entry for one in self._leaving.values() if isinstance(one, Save)]
            self._log(left)
            self._log_requests([kept.stream.log_entry() for kept in self._open.values()])
        await self._records.close()

    # ---- streams

    def opened(self, stream: Held) -> None:
        before = self._open.get(stream.id)
        if before is not None and before.stream.generation > stream.generation:
            stream.lose()  # it took so long to open that somebody else has come back to it
            return
        self._open[stream.id] = _Open(stream)
        if before is not None:
            before.stream.lose()

    def changed(self, stream: Held) -> None:
        if (kept := self._mine(stream)) is not None:
            kept.changed = True

    def ended(self, stream: Held) -> None:
        """For good: nobody can come back to it."""
        if self._mine(stream) is not None:
            del self._open[stream.id]
            self._tell(End(stream.id, stream.generation))

    def left(self, stream: Held, lanes: tuple[Lane, ...]) -> None:
        """Its client may come back. The request log hears of it when it does not."""
        kept = self._mine(stream)
        if kept is None:
            return
        del self._open[stream.id]
        record = stream.record()
        self._park(stream.id, Parked(stream.generation, lanes, record, self._clock() + self.window_s))
        self._tell(kept.save(record, held=False))

    def _mine(self, stream: Held) -> _Open | None:
        kept = self._open.get(stream.id)
        return kept if kept is not None and kept.stream is stream else None

    def _tell(self, what: Save | End) -> None:
        if len(self._leaving) >= MAX_LEAVING:
            lost = self._leaving.pop(next(iter(self._leaving)))
            telemetry.resume_lost.inc()
            if isinstance(lost, Save):
                self._log([lost.entry])
        self._leaving[what.stream] = what

    def _park(self, name: str, parked: Parked) -> None:
        self._parked[name] = parked
        self._parked.move_to_end(name)
        size = sum(one.size for one in self._parked.values())
        while self._parked and (len(self._parked) > MAX_PARKED or size > MAX_PARKED_BYTES):
            _, oldest = self._parked.popitem(last=False)
            size -= oldest.size
        telemetry.streams_parked.set(len(self._parked))

    # ---- those who come back

    async def claim(self, token: Token, grant: KeyGrant, last_seq: int | None) -> Resumption:
        """The stream of the token is the caller's from now on, who has the finals up to that one, or those
        that the token tells of. Raises the refusal."""
        if (token.tenant, token.project) != (str(grant.tenant_id), str(grant.project_id)):
            raise ResumeForeign()
        if token.generation >= MAX_GENERATION:
            raise ResumeLate
        claimed = await self._claim(token)
        if claimed.answer is Answer.LATE:
            raise ResumeLate
        if claimed.answer is Answer.CONFLICT:
            raise ResumeConflict
        if (kept := self._open.get(token.stream)) is not None:
            kept.stream.let_go()  # of another generation than the token's, which nobody has heard of for long
        parked = self._parked.pop(token.stream, None)
        telemetry.streams_parked.set(len(self._parked))
        lanes = None
        if parked is not None and parked.generation == claimed.before:
            record, lanes = parked.record, parked.lanes
        else:
            record = _known(claimed, token)
        telemetry.streams_resumed.labels("elsewhere" if lanes is None else "here").inc()
        if last_seq is None:
            last_seq = token.mark.next_seq - 1
        missed = tuple(told for told in record.finals if last_seq < told.seq < record.mark.next_seq)
        resumption = Resumption(token.stream, claimed.generation, token.opened_at, record, lanes, missed)
        if len(missed) != record.mark.next_seq - 1 - last_seq:
            self.give_back(resumption)
            raise ResumeLate(
                f"Of the finals after {last_seq}, not all are remembered, or not so many were said."
            )
        return resumption

    async def _claim(self, token: Token) -> Claimed:
        fresh = time.time() - token.issued_at <= self.window_s
        kept = self._open.get(token.stream)
        if kept is not None and kept.stream.generation == token.generation:
            kept.stream.let_go()  # its socket is dead and does not know: all that it has goes with the client
        try:
            async with asyncio.timeout(CLAIM_WITHIN_S):
                if (one := self._leaving.get(token.stream)) is not None:
                    await self._write_those([one])
                return await self._records.claim(token.stream, token.generation, alone=fresh)
        except AWAY as error:
            log.warning("cannot look for a stream: %s", type(error).__name__)
            raise Unavailable("Streams cannot be resumed at the moment.", retry_after_s=2) from None

    def give_back(self, resumption: Resumption) -> None:
        """Whoever came back did not get in, and may come back again."""
        record, generation = resumption.record, resumption.generation
        if resumption.lanes is not None:
            until = self._clock() + self.window_s
            self._park(resumption.stream, Parked(generation, resumption.lanes, record, until))
        finals = _sealed(resumption.stream, record.finals)
        stand = seal(state.encode(record.stand), resumption.stream)
        self._tell(Save(resumption.stream, generation, False, stand, b"", finals, len(finals)))

    # ---- writing

    async def _write_forever(self) -> None:
        tries = 0
        while True:
            await asyncio.sleep(
                pause_s(tries, first_s=WRITE_EVERY_S, longest_s=LONGEST_PAUSE_S) if tries else WRITE_EVERY_S
            )
            try:
                await self._write()
                await self._reap()
                tries = 0
            except Exception as error:
                tries += 1
                log.warning("cannot write how far streams are: %s", type(error).__name__)
            self._forget_the_late()

    async def _write(self) -> None:
        for leaving in _some_of(list(self._leaving.values())):
            await self._write_those(leaving)
        now = self._clock()
        due = [
            kept for kept in self._open.values() if kept.changed or now - kept.written_at >= REFRESH_EVERY_S
        ]
        for some in _some_of(due):
            await self._write_open(some)

    async def _write_those(self, leaving: list[Save | End]) -> None:
        """What is to be said of streams before anybody asks for them."""
        await self._records.tell(leaving)
        for one in leaving:
            if self._leaving.get(one.stream) is one:
                del self._leaving[one.stream]

    async def _write_open(self, some: list[_Open]) -> None:
        some = [kept for kept in some if self._mine(kept.stream) is kept]  # some may have left meanwhile
        saves, told = [], []
        now = self._clock()
        for kept in some:
            kept.changed = False
            saves.append(kept.save(record := kept.stream.record(), held=True))
            told.append(record.mark.next_seq)
            kept.written_at, kept.written_seq = now, 0  # it may get lost, also while its stream leaves
        try:
            answers = await self._records.tell(saves)
        except BaseException:
            for kept in some:
                kept.changed = True
            raise
        for kept, save, seq, answer in zip(some, saves, told, answers, strict=True):
            if answer is Kept.FOR_THE_FIRST_TIME and len(save.finals) < save.remembered:
                kept.changed = True  # Valkey has lost its memory
            else:
                kept.written_seq = seq
            if answer is Kept.ANOTHERS and self._mine(kept.stream) is kept:
                del self._open[save.stream]
                kept.stream.lose()

    async def _reap(self) -> None:
        if self._clock() - self._reaped_at < REAP_EVERY_S:
            return
        self._reaped_at = self._clock()
        found = await self._records.reap(REAP_AT_ONCE)
        if found:
            self._log(found.values())
            await self._records.taken(found)

    def _log(self, entries: Iterable[bytes]) -> None:
        for entry in entries:
            if not entry:
                continue  # Valkey has it
            try:
                self._log_requests([requests.parse(json.loads(entry))])
            except (ValueError, Malformed) as error:
                log.error("an entry of the request log cannot be read: %s", type(error).__name__)

    def _forget_the_late(self) -> None:
        now = self._clock()
        for name in [name for name, parked in self._parked.items() if parked.until < now]:
            del self._parked[name]
        telemetry.streams_parked.set(len(self._parked))


def _known(claimed: Claimed, token: Token) -> Record:
    """How far the stream is, where its audio is not here."""
    alone = Stand(token.mark, token.mark.next_seq)
    if (stand := unseal(claimed.stand, token.stream)) is None:
        return Record(alone)
    finals = (unseal(final, token.stream) for final in claimed.finals)
    record = state.record(stand, (final for final in finals if final is not None))
    # The last finals may have been said after the last that was written.
    return record if record.mark.next_seq >= token.mark.next_seq else Record(alone, record.finals)


def _sealed(stream: str, finals: Iterable[Told]) -> tuple[tuple[int, bytes], ...]:
    return tuple((told.seq, seal(state.encode(told), stream)) for told in finals)


def _some_of(items: list[Some]) -> Iterator[list[Some]]:
    rest = iter(items)
    while some := list(islice(rest, WRITE_AT_ONCE)):
        yield some
