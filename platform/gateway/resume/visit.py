"""One connection of a stream that may have several, one after the other: what it is told, and what stays."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.errors import StreamError
from gateway.events import Close, Transcript, Welcome
from gateway.lane import Lane
from gateway.parameters import ListenParameters
from gateway.request_log import entry
from gateway.resume.errors import ResumedElsewhere
from gateway.resume.keeper import Keeper, Resumption
from gateway.resume.memory import Memory
from gateway.resume.state import Mark, Record
from gateway.resume.token import Token, issue
from metering.requests import Request

if TYPE_CHECKING:
    from gateway.stream import Stream

# A client that closes its socket so has said that it is done.
DONE = 1000
FOR_GOOD = (DONE, 1005)


def lanes_of(
    request_id: str, parameters: ListenParameters, lead_s: float, resumption: Resumption | None
) -> tuple[tuple[Lane, ...], int]:
    """The lanes of a stream, and from where on its client is to send audio."""
    if resumption is not None and resumption.lanes is not None:
        at_ms = min(lane.resume_ms for lane in resumption.lanes)
        for lane in resumption.lanes:
            lane.revive(at_ms)
        return resumption.lanes, at_ms
    names = [f"{request_id}.{channel}" for channel in range(parameters.lanes)]
    if parameters.lanes == 1:
        names = [request_id]
    lanes = tuple(Lane(name, channel, lead_s=lead_s) for channel, name in enumerate(names))
    if resumption is None:
        return lanes, 0
    record = resumption.record
    # It may have sent what nobody remembers, but hardly more than there was time for.
    open_for_ms = int(1000 * (time.time() - resumption.opened_at))
    at_ms = max(record.mark.start_ms, min(parameters.have_from_ms, max(record.mark.input_ms, open_for_ms)))
    for lane, mark in zip(lanes, record.mark.lanes, strict=True):
        lane.restore(mark, at_ms, record.said(lane.channel))
    return lanes, at_ms


class Visit:
    def __init__(self, keeper: Keeper, stream: Stream, resumption: Resumption | None, from_ms: int) -> None:
        self.generation = 1 if resumption is None else resumption.generation
        self.opened_at = int(time.time()) if resumption is None else resumption.opened_at
        self.from_ms = from_ms
        # The client has said that it will, whenever it is told to.
        self._comes_back = bool(stream.parameters.resume)
        self.resumption = resumption
        self._keeper, self._stream = keeper, stream
        self._memory: Memory | None = None  # until it is open

    @property
    def id(self) -> str:
        return self._stream.id

    # ---- for the client

    @property
    def may_be_moved(self) -> bool:
        return self._comes_back and self._memory is not None

    def begin(self) -> None:
        session = self._stream.session
        if self.resumption is None:
            self._memory = session.remember()
        else:
            record, missed = self.resumption.record, self.resumption.missed
            self._memory = session.remember(record.finals, record.mark.next_seq, missed)
        if self._comes_back or self.resumption is not None:
            session.say(self.welcome(), first=True)
        self._keeper.opened(self)

    def welcome(self, url: str = "") -> Welcome:
        mark = self.mark()
        return Welcome(self.token(mark), self.from_ms, mark.next_seq, self._keeper.window_s, url)

    def mark(self) -> Mark:
        return self.record().mark

    def token(self, mark: Mark) -> str:
        grant = self._stream.grant
        return issue(
            Token(
                stream=self.id,
                tenant=str(grant.tenant_id),
                project=str(grant.project_id),
                region=self._stream.house.region,
                generation=self.generation,
                opened_at=self.opened_at,
                issued_at=int(time.time()),
                mark=mark,
            )
        )

    def said(self, message: Transcript) -> None:
        if message.is_final:
            self._keeper.changed(self)

    def finish(self, close: Close, *, for_good: bool) -> bool:
        """False when nobody will hear of the stream again, and the request log is to have it now."""
        error = self._stream.session.error
        if isinstance(error, ResumedElsewhere):
            return True  # it is another connection's
        # Whoever was told to come back may well close the socket; whoever was told the end, and does not, may
        # not have heard it.
        if error.resumable if error is not None else not for_good:
            self._keeper.left(self, self._stream.session.lanes)
            return True
        self._keeper.ended(self)
        return False

    # ---- for the keeper

    def record(self) -> Record:
        if self._memory is None:
            raise RuntimeError("the stream has not been opened")
        return self._memory.record(self._stream.session.next_seq, self._stream.dues.called_back)

    def log_entry(self) -> Request:
        closed = self._stream.session.close_to_send
        # Of one that is open: its gateway was lost.
        return entry(self._stream, closed or Close(StreamError.close_code, StreamError.code))

    def let_go(self) -> None:
        self._stream.leave()
        self.lose()

    def lose(self) -> None:
        self._stream.part(ResumedElsewhere())
