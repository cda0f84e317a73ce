"""A worker played by hand over a real Valkey: its mailbox, its peer, its heartbeats."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer

from gateway.link import Link, Owner, Placement
from wire.addresses import WORKER_PREFIX, heartbeat_group
from wire.codec import encode_envelope, encode_heartbeat
from wire.mailbox import Mailbox
from wire.messages import (
    AnyItem,
    Envelope,
    Heartbeat,
    Open,
    Opened,
    StreamOptions,
    ToGateway,
    WorkerState,
)
from wire.sequence import Peer

REGION = "test"
OWNER = Owner("tenant", "project", "key", ("night",))
DEADLINE_S = 5.0


def heartbeat_of(
    name: str, address: str = "", state: WorkerState = WorkerState.READY, active: int = 0
) -> Heartbeat:
    return Heartbeat(
        worker=name,
        address=address or name,
        region=REGION,
        state=state,
        engine="hand",
        model="m",
        languages=("en",),
        capacity=10,
        active=active,
    )


class HandWorker:
    """Does what a worker does, when the test says so."""

    def __init__(self, layer: Any, mailbox: Mailbox) -> None:
        self.layer, self.mailbox = layer, mailbox
        self.received: list[AnyItem] = []
        self.peers: dict[str, Peer] = {}
        self.deaf = False
        self.envelopes = 0
        self.answer: Callable[[Open], ToGateway | None] = lambda opening: Opened(
            stream=opening.stream, epoch=opening.epoch, worker="hand", model="m", version="1", arch="a"
        )
        self.changed = asyncio.Condition()
        self.task = asyncio.create_task(self._receive_forever())

    async def beat(self, state: WorkerState = WorkerState.READY, *, active: int = 0) -> None:
        heartbeat = heartbeat_of("hand", self.mailbox.address, state, active)
        await self.layer.group_send(heartbeat_group(REGION), encode_heartbeat(heartbeat))

    async def say(self, *items: ToGateway) -> None:
        for gateway, peer in self.peers.items():
            peer.send(items)
            await self._flush(gateway, peer)

    async def heard(self, wanted: type[AnyItem]) -> AnyItem:
        async with asyncio.timeout(DEADLINE_S), self.changed:
            await self.changed.wait_for(lambda: any(isinstance(item, wanted) for item in self.received))
        return next(item for item in self.received if isinstance(item, wanted))

    async def _receive_forever(self) -> None:
        while True:
            envelope = await self.mailbox.receive()
            if self.deaf or not isinstance(envelope, Envelope):
                continue
            self.envelopes += 1
            peer = self.peers.setdefault(envelope.sender, Peer(me=self.mailbox.address, link=envelope.link))
            items = peer.receive(envelope, asyncio.get_running_loop().time())
            async with self.changed:
                self.received += items
                self.changed.notify_all()
            for item in items:
                if isinstance(item, Open) and (answer := self.answer(item)) is not None:
                    peer.send([answer])
            await self._flush(envelope.sender, peer)

    async def _flush(self, gateway: str, peer: Peer) -> None:
        for envelope in peer.envelopes_to_send(asyncio.get_running_loop().time()):
            await self.layer.send(gateway, encode_envelope(envelope))


@dataclass
class Ear:
    """What a stream's consumer hears."""

    items: list[ToGateway] = field(default_factory=list)
    lost: int = 0
    leaving: int = 0
    stuck: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def receive_from_worker(self, item: ToGateway) -> None:
        self.items.append(item)
        self.changed.set()

    def receive_worker_lost(self, stream: str) -> None:
        self.lost += 1
        self.changed.set()

    def receive_worker_leaving(self, stream: str) -> None:
        self.leaving += 1
        self.changed.set()

    def stalled(self, stream: str, now: float) -> bool:
        return self.stuck

    async def something(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.changed.wait()
        self.changed.clear()


@dataclass
class Pair:
    link: Link
    worker: HandWorker

    async def ready(self) -> None:
        await self.worker.beat()
        async with asyncio.timeout(DEADLINE_S):
            while not self.link.pool.ready():  # noqa: ASYNC110 - the link has no hook for it, and needs none
                await asyncio.sleep(0.005)

    async def open(self, ear: Ear, stream: str = "s") -> Placement:
        return await self.link.open(stream, OWNER, StreamOptions(), ear)


@asynccontextmanager
async def linked(url: str) -> AsyncIterator[Pair]:
    gateway_layer, worker_layer = (RedisPubSubChannelLayer(hosts=[url], prefix="steno") for _ in range(2))
    link = Link(gateway_layer, REGION, silent_after_s=60.0)
    await link.start()
    worker = HandWorker(worker_layer, await Mailbox.open(worker_layer, WORKER_PREFIX, dropped=lambda: None))
    yield Pair(link, worker)
    worker.task.cancel()
    await worker.mailbox.close()
    await link.stop()
