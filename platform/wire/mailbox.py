"""A process's own channel on the layer, with a bounded queue in front of it.

The layer puts what arrives into an unbounded queue of its own. A process that falls behind would grow
without limit; here it drops instead, and counts, and `wire.sequence` asks for what was dropped.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

from wire.codec import decode
from wire.messages import Envelope, Heartbeat

MAX_QUEUED = 2_000


class Layer(Protocol):
    """What is used of a `RedisPubSubChannelLayer`."""

    async def new_channel(self, prefix: str = ...) -> str: ...

    async def send(self, channel: str, message: dict[str, object]) -> None: ...

    async def receive(self, channel: str) -> Any: ...

    async def group_add(self, group: str, channel: str) -> None: ...

    async def group_send(self, group: str, message: dict[str, object]) -> None: ...

    async def flush(self) -> None: ...


class DroppingQueue(asyncio.Queue[bytes]):
    """A queue that forgets the newest when full, instead of growing or raising into the layer's reader."""

    dropped = 0

    def put_nowait(self, item: bytes) -> None:
        if self.full():
            self.dropped += 1
        else:
            super().put_nowait(item)


@dataclass
class Mailbox:
    address: str
    _layer: Layer
    _queue: DroppingQueue

    @classmethod
    async def open(cls, layer: Layer, prefix: str, max_queued: int = MAX_QUEUED) -> Mailbox:
        address = await layer.new_channel(prefix)
        queue = DroppingQueue(max_queued)
        # The one place that reaches into the layer: it has no setting for this.
        channels: dict[str, asyncio.Queue[bytes]] = layer._get_layer().channels  # type: ignore[attr-defined]
        channels[address] = queue
        return cls(address, layer, queue)

    async def join(self, group: str) -> None:
        await self._layer.group_add(group, self.address)

    async def receive(self) -> Envelope | Heartbeat:
        """The next message; raises `WireError` for one that is none."""
        return decode(await self._layer.receive(self.address))

    @property
    def dropped(self) -> int:
        return self._queue.dropped

    async def close(self) -> None:
        await self._layer.flush()
