"""Streams that are left and come back to, through a house with a keeper and a worker that is a hand."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from gateway import parameters
from gateway.errors import GatewayError
from gateway.events import ClientMessage, Transcript, Welcome
from gateway.process import Process
from gateway.resume.keeper import Keeper
from gateway.resume.records import Records
from gateway.stream import Stream
from gateway.tests.doors import grant
from gateway.tests.hand_link import HandLink
from gateway.tests.test_stream import Kept, house
from metering.events import UsageEvent
from metering.requests import Request
from tenants.access import KeyGrant
from wire.messages import Audio, Ended, Final, Progress, Word

SECOND = b"\1\0" * 16_000
QUERY = "encoding=linear16&sample_rate=16000"


class Worker(HandLink):
    def given(self) -> list[tuple[int, int]]:
        """From where to where, in samples, of all audio that it was given."""
        audio = [item for item in self.sent if isinstance(item, Audio)]
        return [(item.position, item.position + len(item.pcm) // 2) for item in audio]


class House:
    """One gateway of a region."""

    def __init__(self, redis: Any, region: str, window_s: float = 60.0) -> None:
        self.link = Worker()
        self.process: Process = house(self.link)
        self.process.limits = replace(self.process.limits, window_s=60)
        self.process.max_streams = 10
        self.usage = Kept()
        self.process.usage = self.usage
        self.records = Records(redis, region, window_s)
        self.keeper = Keeper(self.records, window_s, self.usage.emit)
        self.process.keeper = self.keeper

    @property
    def logged(self) -> list[Request]:
        return [one for one in self.usage.records if isinstance(one, Request)]

    @property
    def metered(self) -> list[UsageEvent]:
        return [one for one in self.usage.records if isinstance(one, UsageEvent)]

    async def reap(self) -> None:
        self.keeper._reaped_at = -1e9
        await self.keeper._reap()


Make = Callable[..., House]


@dataclass
class Client:
    """Keeps what it has heard, and comes back with it."""

    grant: KeyGrant = field(default_factory=grant)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    query: str = QUERY
    token: str = ""
    finals: list[Transcript] = field(default_factory=list)
    welcome: Welcome | None = None

    async def come(self, at: House, more: str = "") -> Stream:
        query = f"{self.query}&{more}" if more else self.query
        if self.token:
            query += f"&resume_token={self.token}"
        wanted = parameters.parse(query.encode())
        resumption = await at.process.resume(wanted, self.grant)
        stream = Stream(
            at.process, self.grant, wanted, self.id,
            resumes=at.process.may_resume(wanted, self.grant), resumption=resumption,
        )  # fmt: skip
        try:
            await stream.open()
        except BaseException:
            if resumption is not None:
                at.process.give_back(resumption)
            raise
        if stream.visit is not None:
            self.token = stream.visit.token(stream.visit.mark())  # as the handshake has it
        return stream

    def hear(self, stream: Stream) -> list[ClientMessage]:
        heard = []
        while (message := stream.next_message()) is not None:
            heard.append(message)
            if isinstance(message, Welcome):
                self.welcome, self.token = message, message.resume_token
            elif isinstance(message, Transcript) and message.is_final:
                self.finals.append(message)
                self.token = message.resume_token or self.token
        return heard

    @property
    def said(self) -> list[str]:
        return [" ".join(word.text for word in final.words) for final in self.finals]


def progress(stream: Stream, ms: int, confirmed_ms: int = 0, lane: int = 0) -> None:
    it = stream.session.lanes[lane]
    stream.receive_from_worker(
        Progress(
            stream=it.name, epoch=it.epoch, processed=16 * ms, confirmed=16 * confirmed_ms, speech_end=16 * ms
        )
    )
    stream.send_due()


def final(stream: Stream, text: str, start_ms: int, end_ms: int, lane: int = 0) -> None:
    it = stream.session.lanes[lane]
    words = text.split()
    each = (end_ms - start_ms) // max(1, len(words))
    spoken = tuple(
        Word(word, start_ms + place * each, start_ms + (place + 1) * each, 0.9)
        for place, word in enumerate(words)
    )
    stream.receive_from_worker(
        Final(
            stream=it.name, epoch=it.epoch, index=it._next_index, start_ms=start_ms, end_ms=end_ms,
            words=spoken, speech_final=True,
        )
    )  # fmt: skip


def ended(stream: Stream) -> None:
    for it in stream.session.lanes:
        stream.receive_from_worker(Ended(stream=it.name, epoch=it.epoch, processed=it.sent))


def billed(events: Iterable[UsageEvent]) -> list[tuple[int, int]]:
    """What the ledger has of one lane: what is there twice counts once."""
    whole: list[tuple[int, int]] = []
    for event in sorted(events, key=lambda event: event.from_ms):
        assert event.from_ms < event.to_ms
        if whole and event.from_ms <= whole[-1][1]:
            whole[-1] = whole[-1][0], max(whole[-1][1], event.to_ms)
        else:
            whole.append((event.from_ms, event.to_ms))
    return whole


async def left(stream: Stream, error: GatewayError | None = None, code: int = 1006) -> None:
    """As the socket has it: the stream fails and says so, or the client is gone."""
    if error is None:
        stream.leave(code)
        return
    stream.fail(error)
    assert stream.session.close_to_send is not None
    stream.finish(stream.session.close_to_send)
