"""Streams through a gateway's own parts (session, places, link, a real Valkey), without its socket."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network

from channels_redis.pubsub import RedisPubSubChannelLayer

from gateway import parameters
from gateway.auth import Authenticator, Failures, KeyCache
from gateway.door import OpenDoor
from gateway.events import CloseStream, Problem, Summary, Transcript
from gateway.link import Link
from gateway.outbound import Outbound
from gateway.process import Process, Recovery
from gateway.session import Limits
from gateway.stream import Stream
from gateway.streams import Streams
from gateway.tests.doors import grant
from metering.emit import Emitter, Record
from metering.events import UsageEvent
from tenants.access import KeyGrant

FRAME_MS = 200
FRAME_BYTES = 32 * FRAME_MS
DEADLINE_S = 60.0


def silence_and_time(seconds: float) -> bytes:
    """The scripted engine says its script whatever it hears."""
    return bytes(int(seconds * 32_000))


class Kept(Emitter):
    """Keeps the usage it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.usage: list[UsageEvent] = []

    def emit(self, records: Iterable[Record]) -> None:
        self.usage += [record for record in records if isinstance(record, UsageEvent)]


@dataclass
class Heard:
    """What a client has heard, and when."""

    finals: list[Transcript] = field(default_factory=list)
    said_at: list[float] = field(default_factory=list)  # partials and finals
    end: Summary | Problem | None = None
    epochs: set[int] = field(default_factory=set)  # one for each worker that it was on
    usage: list[tuple[int, int]] = field(default_factory=list)
    talk: int = 0
    id: str = ""

    @property
    def words(self) -> list[str]:
        return [word.text for final in self.finals for word in final.words]

    @property
    def moves(self) -> int:
        return len(self.epochs) - 1

    @property
    def whole(self) -> list[Transcript]:
        """The finals, without what was billed by then, which is a matter of time."""
        return [replace(final, billed_ms=0) for final in self.finals]

    @property
    def billed_ms(self) -> int:
        return sum(end - start for start, end in self.usage)

    def is_in_order(self) -> None:
        assert isinstance(self.end, Summary), self.end
        assert [final.seq for final in self.finals] == list(range(len(self.finals)))
        spans = [at for final in self.finals for at in (final.start_ms, final.end_ms)]
        assert spans == sorted(spans)
        starts = [word.start_ms for final in self.finals for word in final.words]
        assert starts == sorted(starts)

    def is_billed_once(self) -> None:
        assert isinstance(self.end, Summary), self.end
        assert self.usage[0][0] == 0
        assert [end for _, end in self.usage[:-1]] == [start for start, _ in self.usage[1:]]
        assert self.usage[-1][1] == self.end.billed_ms == self.end.audio_ms


@asynccontextmanager
async def gateway(redis_url: str, region: str, recovery: Recovery) -> AsyncIterator[Process]:
    async def find(prefix: str) -> KeyGrant | None:
        return None

    house = Process(
        region=region,
        link=Link(RedisPubSubChannelLayer(hosts=[redis_url], prefix="steno"), region),
        streams=Streams(),
        authenticator=Authenticator(KeyCache(find=find, keep_s=5), Failures(per_minute=10)),
        admission=OpenDoor(),
        usage=Kept(),
        callbacks=Emitter(),
        outbound=Outbound((ip_network("127.0.0.1/32"),)),
        limits=Limits(idle_s=60, max_s=600, window_s=10, usage_every_s=1),
        max_streams=1000,
        trusted_proxy=False,
        recovery=recovery,
    )
    await house.link.start()
    try:
        yield house
    finally:
        await house.link.stop()


async def speak(
    house: Process,
    pcm: bytes,
    pace: float,
    heard: Heard | None = None,
    enough: asyncio.Event | None = None,
) -> Heard:
    """Say it, so many times as fast as it was spoken, or until it is enough; and hear all of it."""
    wanted = parameters.parse(b"encoding=linear16&sample_rate=16000&interim_results=true")
    stream = Stream(house, grant(), wanted, str(uuid.uuid4()))
    await stream.open()
    heard = heard or Heard()
    heard.id = stream.id
    hearing = asyncio.create_task(_hear(stream, heard))
    try:
        async with asyncio.timeout(DEADLINE_S + len(pcm) / 32_000 / pace):
            for start in range(0, len(pcm), FRAME_BYTES):
                await stream.hear(pcm[start : start + FRAME_BYTES])
                await asyncio.sleep(FRAME_MS / 1000 / pace)
                if hearing.done() or (enough is not None and enough.is_set()):
                    break
            await stream.obey(CloseStream())
            await hearing
    finally:
        stream.leave()
        hearing.cancel()
    usage: Kept = house.usage  # type: ignore[assignment]
    heard.usage = [(part.from_ms, part.to_ms) for part in usage.usage if part.stream == stream.id]
    return heard


async def _hear(stream: Stream, heard: Heard) -> None:
    """What a consumer's pump does."""
    clock = asyncio.get_running_loop().time
    while stream.session.close_to_send is None:
        await stream.wake.wait()
        stream.wake.clear()
        stream.tick()
        heard.epochs.add(stream.session.lanes[0].epoch)
        while (message := stream.next_message()) is not None:
            if isinstance(message, Transcript):
                heard.said_at.append(clock())
                if message.is_final:
                    heard.finals.append(message)
            elif isinstance(message, Summary | Problem):
                heard.end = message
        stream.room.set()
    stream.finish(stream.session.close_to_send)
