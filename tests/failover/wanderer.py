"""A client that is cut off again and again, and comes back to whichever gateway there is."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway import parameters
from gateway.events import CloseStream, Problem, Summary, Transcript, Welcome
from gateway.process import Process
from gateway.stream import Stream
from gateway.tests.doors import grant
from metering.events import UsageEvent
from tenants.access import KeyGrant
from tests.failover.speakers import FRAME_BYTES, FRAME_MS, Kept

DEADLINE_S = 60.0
QUERY = "encoding=linear16&sample_rate=16000&interim_results=true&resume=true"


@dataclass
class Wanderer:
    houses: Sequence[Process]
    pcm: bytes
    chance: random.Random
    pace: float
    cuts: int
    grant: KeyGrant = field(default_factory=grant)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    finals: dict[int, Transcript] = field(default_factory=dict)
    again: int = 0  # finals that it had already
    token: str = ""
    at_ms: int = 0
    end: Summary | Problem | None = None
    begins: list[int] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        return [word.text for seq in sorted(self.finals) for word in self.finals[seq].words]

    @property
    def usage(self) -> list[UsageEvent]:
        kept: list[Kept] = [house.usage for house in self.houses]  # type: ignore[misc]
        return [part for one in kept for part in one.usage if part.stream == self.id]

    async def go(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while self.end is None:
                await self._visit(self.chance.choice(self.houses))

    async def _visit(self, house: Process) -> None:
        query = QUERY
        if self.token:
            query += f"&resume_token={self.token}"
        if self.token and self.finals:
            query += f"&last_seq={max(self.finals)}"
        wanted = parameters.parse(query.encode())
        resumption = await house.resume(wanted, self.grant)
        if resumption is not None:
            assert resumption.stream == self.id
        stream = Stream(house, self.grant, wanted, self.id, resumes=True, resumption=resumption)
        await stream.open()
        assert stream.visit is not None
        self.at_ms = stream.visit.from_ms
        self.begins.append(self.at_ms)
        hearing = asyncio.create_task(self._hear(stream))
        length = len(self.pcm) // 32
        until = self.at_ms + self.chance.randrange(200, 8_000) if self.cuts else length
        try:
            while self.at_ms < min(until, length):
                if hearing.done():
                    hearing.result()
                    return
                first = self.at_ms * 32
                frame = self.pcm[first : first + FRAME_BYTES]
                await stream.hear(frame)
                self.at_ms += len(frame) // 32
                await asyncio.sleep(FRAME_MS / 1000 / self.pace)
            if self.cuts:
                self.cuts -= 1
                await self._cut(stream, hearing)
            else:
                await stream.obey(CloseStream())
                await hearing
        finally:
            hearing.cancel()

    async def _cut(self, stream: Stream, hearing: asyncio.Task[None]) -> None:
        if self.chance.random() < 0.5:
            hearing.cancel()  # what is said from now on is lost
            await asyncio.sleep(self.chance.random() * 0.3)
        if self.chance.random() < 0.5:
            stream.leave()
            return
        # The gateway is gone, without a word to anybody.
        hearing.cancel()
        stream.places.release()
        keeper = stream.house.keeper
        assert keeper is not None
        keeper._open.pop(self.id, None)
        stream.house.streams.remove(stream)

    async def _hear(self, stream: Stream) -> None:
        while stream.session.close_to_send is None:
            while (message := stream.next_message()) is not None:
                if isinstance(message, Welcome):
                    self.token = message.resume_token
                elif isinstance(message, Transcript) and message.is_final:
                    self.token = message.resume_token or self.token
                    self.again += message.seq in self.finals
                    self.finals[message.seq] = message
                elif isinstance(message, Summary | Problem):
                    self.end = message
            stream.room.set()
            await stream.wake.wait()
            stream.wake.clear()
            stream.tick()
        while (message := stream.next_message()) is not None:
            if isinstance(message, Transcript) and message.is_final:
                self.finals[message.seq] = message
            elif isinstance(message, Summary | Problem):
                self.end = message
        stream.finish(stream.session.close_to_send)
