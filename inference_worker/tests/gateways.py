"""A gateway that speaks the wire over a real Valkey, and can lose what it sends and receives."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer
from redis.exceptions import RedisError

from inference_worker.loop import Worker
from inference_worker.transport import Transport
from wire import addresses, codec
from wire.addresses import LAYER_PREFIX
from wire.messages import Ended, Envelope, Failed, Final, Heartbeat, Refused, ToGateway, ToWorker
from wire.sequence import Peer, PeerBroken
from wire.tasks import end

DEADLINE_S = 20.0
TICK_S = 0.005
KEEPALIVE_S = 0.2


def heartbeat_of(worker: Worker, transport: Transport, region: str) -> Callable[[], Heartbeat]:
    def heartbeat() -> Heartbeat:
        return Heartbeat(
            worker="w",
            address=transport.address,
            region=region,
            state=worker.state,
            engine="scripted",
            model="scripted",
            languages=("en",),
            capacity=64,
            active=worker.active,
        )

    return heartbeat


@dataclass
class FakeGateway:
    layer: Any
    address: str
    region: str
    worker: str = ""
    link: int = 1
    loss: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    items: list[ToGateway] = field(default_factory=list)
    beats: list[Heartbeat] = field(default_factory=list)
    lost: int = 0
    broken: bool = False
    silent: bool = False
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.peer = Peer(me=self.address, link=self.link, resend_after_s=0.05)

    def begin_again(self) -> None:
        self.link += 1
        self.broken = False
        self.peer = Peer(me=self.address, link=self.link, resend_after_s=0.05)

    def say(self, *items: ToWorker) -> None:
        self.peer.send(items)

    async def speaking(self) -> None:
        alive_at = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            if self.silent or not self.worker:
                continue
            now = time.monotonic()
            try:
                envelopes = self.peer.envelopes_to_send(now)
            except PeerBroken:
                self.broken = True
                continue
            if not envelopes and now - alive_at > KEEPALIVE_S:
                envelopes = [self.peer.keepalive()]
            for envelope in envelopes:
                alive_at = now
                await self.send(envelope)

    async def send(self, envelope: Envelope) -> None:
        if self.chance.random() < self.loss:
            self.lost += 1
            return
        try:
            await self.layer.send(self.worker, codec.encode_envelope(envelope))
        except (RedisError, OSError):
            self.lost += 1

    async def hearing(self) -> None:
        while True:
            message = codec.decode(await self.layer.receive(self.address))
            if isinstance(message, Heartbeat):
                self.beats.append(message)
                self.worker = self.worker or message.address
            elif self.chance.random() < self.loss:
                self.lost += 1
            else:
                try:
                    self.items += self.peer.receive(message, time.monotonic())
                except PeerBroken:
                    self.broken = True
            self.arrived.set()

    async def until(self, true: Callable[[], object], within_s: float = DEADLINE_S) -> None:
        async with asyncio.timeout(within_s):
            while not true():
                self.arrived.clear()
                await self.arrived.wait()  # heartbeats alone come four times a second

    def of(self, stream: str) -> list[ToGateway]:
        return [item for item in self.items if item.stream == stream]

    async def over(self, stream: str = "s") -> ToGateway:
        def last() -> bool:
            return bool(self.of(stream)) and isinstance(self.of(stream)[-1], Ended | Failed | Refused)

        await self.until(last)
        return self.of(stream)[-1]

    def text(self, stream: str = "s") -> str:
        finals = [item for item in self.of(stream) if isinstance(item, Final)]
        assert [final.index for final in finals] == list(range(len(finals)))
        return " ".join(word.text for final in finals for word in final.words)


@asynccontextmanager
async def gateway(url: str, region: str, *, loss: float = 0.0, seed: int = 7) -> AsyncIterator[FakeGateway]:
    """One that has heard a worker of its region."""
    layer = RedisPubSubChannelLayer(hosts=[url], prefix=LAYER_PREFIX)
    address = await layer.new_channel(prefix=addresses.GATEWAY_PREFIX)
    await layer.group_add(addresses.heartbeat_group(region), address)
    fake = FakeGateway(layer, address, region, loss=loss, chance=random.Random(seed))
    running = [asyncio.create_task(fake.hearing()), asyncio.create_task(fake.speaking())]
    try:
        await fake.until(lambda: fake.worker)
        yield fake
    finally:
        await end(running)
        await layer.flush()
