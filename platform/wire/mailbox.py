"""A process's own channel on the layer, with a bounded queue in front of it.

The layer puts what arrives into an unbounded queue of its own. A process that falls behind would grow
without limit; here it drops instead, and counts, and `wire.sequence` asks for what was dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from wire.codec import WireError, decode
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


class BoundedQueue(asyncio.Queue[bytes]):
    """A queue that drops the newest when full, instead of growing or raising into the layer's reader."""

    def __init__(self, most: int, dropped: Callable[[], None]) -> None:
        super().__init__()
        self._most, self._dropped = most, dropped

    def put_nowait(self, item: bytes) -> None:
        if self.qsize() >= self._most:
            self._dropped()
        else:
            super().put_nowait(item)


@dataclass
class Mailbox:
    address: str
    _layer: Layer

    @classmethod
    async def open(
        cls, layer: Layer, prefix: str, *, dropped: Callable[[], None], most: int = MAX_QUEUED
    ) -> Mailbox:
        """A new one. `dropped` is called for each message that finds the queue full."""
        address = await layer.new_channel(prefix)
        queue = BoundedQueue(most, dropped)
        # The one place that reaches into the layer: it has no setting for this.
        channels: dict[str, asyncio.Queue[bytes]] = layer._get_layer().channels  # type: ignore[attr-defined]
        channels[address] = queue
        return cls(address, layer)

    async def join(self, group: str) -> None:
        await self._layer.group_add(group, self.address)

    async def receive(self) -> Envelope | Heartbeat:
        """The next message; raises `WireError` for one that is none."""
        try:
            message = await self._layer.receive(self.address)
        except Exception as error:  # bytes that are no message raise whatever the layer's decoder raises
            raise WireError(f"unreadable bytes: {type(error).__name__}") from None
        return decode(message)

    async def close(self) -> None:
        await self._layer.flush()
