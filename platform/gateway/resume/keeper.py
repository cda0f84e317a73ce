"""Keeps what a stream needs to go on: in Valkey how far it is, here also its audio, for a while.

A client that comes back to the same gateway goes on where its audio ended; one that comes to another sends
again from where that one begins. Nothing here is waited for while a stream runs: what has changed is written
a few times a second, and a final that was said since then is in the token that came with it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from redis.exceptions import RedisError

from gateway import telemetry
from gateway.errors import GatewayError, Unavailable
from gateway.lane import Lane
from gateway.resume import state
from gateway.resume.errors import ResumeConflict, ResumedElsewhere, ResumeForeign, ResumeLate
from gateway.resume.records import Answer, End, Records, Save
from gateway.resume.sealed import seal, unseal
from gateway.resume.state import Record, Told
from gateway.resume.token import Token
from metering import requests
from metering.requests import Request
from tenants.access import KeyGrant
from wire.tasks import end

log = logging.getLogger(__name__)

WRITE_EVERY_S = 0.25
# A stream of which nothing changes says so often that it is still held.
REFRESH_EVERY_S = 2.0
MAX_PARKED = 512
MAX_PARKED_BYTES = 256 * 1024 * 1024
MAX_LEAVING = 20_000
REAP_AT_ONCE = 200
AWAY = (RedisError, OSError, TimeoutError)


class Held(Protocol):
    """A stream that can be resumed, as its keeper sees it."""

    generation: int

    @property
    def id(self) -> str: ...

    def record(self) -> Record: ...

    def log_entry(self) -> Request:
        """What the request log is to have if it is heard of no more."""

    def fail(self, error: GatewayError) -> None: ...

    def let_go(self) -> None:
        """Its client is somewhere else: end it here at once."""


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
        self._open: dict[str, Held] = {}
        self._changed: set[str] = set()
        self._written_at: dict[str, float] = {}
        self._leaving: dict[str, Save | End] = {}
        self._parked: OrderedDict[str, Parked] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._write_forever(), name="keep streams")

    async def stop(self) -> None:
        """What Valkey cannot be told is at least in the request log."""
        if self._task is not None:
            await end([self._task])
        try:
            await self._write()
        except AWAY as error:
            log.warning("streams that may be resumed: stopped without a last word: %s", type(error).__name__)
            left = [one.entry for one in self._leaving.values() if isinstance(one, Save)]
            self._log_requests([requests.parse(json.loads(entry)) for entry in left])
        await self._records.close()

    # ---- streams

    def opened(self, stream: Held) -> None:
        self._open[stream.id] = stream
        self._changed.add(stream.id)

    def changed(self, stream: Held) -> None:
        if stream.id in self._open:
            self._changed.add(stream.id)

    def ended(self, stream: Held) -> None:
        """For good: nobody can come back to it."""
        if self._forget(stream):
            self._tell(stream.id, End(stream.id, stream.generation))

    def left(self, stream: Held, lanes: tuple[Lane, ...]) -> None:
        """Its client may come back. The request log hears of it when it does not."""
        if not self._forget(stream):
            return
        record = stream.record()
        self._park(stream.id, Parked(stream.generation, lanes, record, self._clock() + self.window_s))
        self._tell(stream.id, self._save(stream, record, held=False))

    def _forget(self, stream: Held) -> bool:
        self._changed.discard(stream.id)
        self._written_at.pop(stream.id, None)
        if self._open.get(stream.id) is not stream:
            return False
        del self._open[stream.id]
        return True

    def _tell(self, name: str, what: Save | End) -> None:
        if len(self._leaving) >= MAX_LEAVING:
            self._leaving.pop(next(iter(self._leaving)))
            telemetry.resume_lost.inc()
        self._leaving[name] = what

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
        fresh = time.time() - token.issued_at <= self.window_s
        here = self._open.get(token.stream)
        try:
            if here is not None and here.generation == token.generation:
                here.let_go()  # its socket is dead and does not know: all that it has goes with the client
            await self._write_one(token.stream)
            claimed = await self._records.claim(token.stream, token.generation, alone=fresh)
        except AWAY as error:
            log.warning("cannot look for a stream: %s", type(error).__name__)
            raise Unavailable("Streams cannot be resumed at the moment.", retry_after_s=2) from None
        if claimed.answer is Answer.LATE:
            raise ResumeLate
        if claimed.answer is Answer.CONFLICT:
            raise ResumeConflict
        parked = self._parked.pop(token.stream, None)
        telemetry.streams_parked.set(len(self._parked))
        body = unseal(claimed.body, token.stream)
        record = Record(token.mark, (), token.mark.next_seq) if body is None else state.decode(body)
        lanes = None
        if parked is not None and parked.generation == claimed.generation - 1:
            record, lanes = parked.record, parked.lanes
        elif token.mark.next_seq > record.mark.next_seq:
            # The last finals were said after the last that was written.
            record = Record(token.mark, record.finals, token.mark.next_seq)
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

    def give_back(self, resumption: Resumption) -> None:
        """Whoever came back did not get in, and may come back again."""
        if resumption.lanes is not None:
            until = self._clock() + self.window_s
            parked = Parked(resumption.generation, resumption.lanes, resumption.record, until)
            self._park(resumption.stream, parked)
        body = seal(state.encode(resumption.record), resumption.stream)
        self._tell(resumption.stream, Save(resumption.stream, resumption.generation, False, body, b""))

    # ---- writing

    async def _write_forever(self) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            try:
                await self._write()
                entries = await self._records.reap(REAP_AT_ONCE)
                self._log_requests([requests.parse(json.loads(entry)) for entry in entries])
            except Exception as error:
                log.warning("cannot write how far streams are: %s", type(error).__name__)
            self._forget_the_late()

    async def _write(self) -> None:
        now = self._clock()
        due = self._changed | {
            name for name in self._open if now - self._written_at.get(name, 0.0) >= REFRESH_EVERY_S
        }
        streams = [stream for name in due if (stream := self._open.get(name))]
        saves = [self._save(stream, stream.record(), held=True) for stream in streams]
        leaving = dict(self._leaving)
        self._changed -= due
        try:
            mine = await self._records.tell([*leaving.values(), *saves])
        except BaseException:
            self._changed |= due & self._open.keys()
            raise
        for name, one in leaving.items():
            if self._leaving.get(name) is one:
                del self._leaving[name]
        for save, still in zip(saves, mine[len(leaving) :], strict=True):
            stream = self._open.get(save.stream)
            if stream is None or stream.generation != save.generation:
                continue
            self._written_at[save.stream] = now
            if not still:
                self._open.pop(save.stream)
                stream.fail(ResumedElsewhere())

    async def _write_one(self, name: str) -> None:
        """What is to be said of it before anybody asks for it."""
        if (one := self._leaving.get(name)) is not None:
            await self._records.tell([one])
            if self._leaving.get(name) is one:
                del self._leaving[name]

    def _save(self, stream: Held, record: Record, *, held: bool) -> Save:
        body, entry = seal(state.encode(record), stream.id), _as_json(stream.log_entry())
        return Save(stream.id, stream.generation, held, body, entry)

    def _forget_the_late(self) -> None:
        now = self._clock()
        for name in [name for name, parked in self._parked.items() if parked.until < now]:
            del self._parked[name]
        telemetry.streams_parked.set(len(self._parked))


def _as_json(entry: Request) -> bytes:
    return json.dumps(entry.as_dict()).encode()
