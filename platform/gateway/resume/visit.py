"""One connection of a stream that may have several, one after the other: what it is told, and what stays."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, StreamError
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
FOR_GOOD = (1000, 1005)


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
    marks = resumption.record.mark.lanes
    at_ms = max(
        resumption.record.mark.start_ms, min(parameters.have_from_ms, max(mark.input_ms for mark in marks))
    )
    for lane, mark in zip(lanes, marks, strict=True):
        lane.restore(mark, at_ms)
    return lanes, at_ms


class Visit:
    def __init__(self, keeper: Keeper, stream: Stream, resumption: Resumption | None, from_ms: int) -> None:
        self.generation = 1 if resumption is None else resumption.generation
        self.opened_at = int(time.time()) if resumption is None else resumption.opened_at
        # Finals before it have been called back already.
        self.first_seq = 0 if resumption is None else resumption.record.mark.next_seq
        self.from_ms = from_ms
        # The client has said that it will, whenever it is told to.
        self.comes_back = bool(stream.parameters.resume)
        self.resumption = resumption
        self._keeper, self._stream = keeper, stream
        self._memory: Memory

    @property
    def id(self) -> str:
        return self._stream.id

    # ---- for the client

    def begin(self) -> None:
        session = self._stream.session
        if self.resumption is None:
            self._memory = session.remember()
        else:
            record, missed = self.resumption.record, self.resumption.missed
            self._memory = session.remember(record.finals, record.mark.next_seq, missed)
        if self.comes_back or self.resumption is not None:
            session.say(self.welcome(), first=True)
        self._keeper.opened(self)

    def welcome(self, url: str = "") -> Welcome:
        mark = self.mark()
        return Welcome(self.token(mark), self.from_ms, mark.next_seq, self._keeper.window_s, url)

    def mark(self) -> Mark:
        return self._memory.mark(self._stream.session.next_seq)

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
        if not for_good and (close.code == 1006 or (error is not None and error.resumable)):
            self._keeper.left(self, self._stream.session.lanes)
            return True
        self._keeper.ended(self)
        return False

    # ---- for the keeper

    def record(self) -> Record:
        return self._memory.record(self._stream.session.next_seq, self._stream.called_back)

    def log_entry(self) -> Request:
        closed = self._stream.session.close_to_send
        # Of one that is open: its gateway was lost.
        return entry(self._stream, closed or Close(StreamError.close_code, StreamError.code))

    def fail(self, error: GatewayError) -> None:
        self._stream.fail(error)

    def let_go(self) -> None:
        self._stream.leave()
        self._stream.session.part(ResumedElsewhere())
        self._stream.wake.set()
