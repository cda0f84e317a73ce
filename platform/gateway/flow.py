"""Flow control: read no more than is handled, write no more than is read, accept no more than is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

MAX_QUEUED_BYTES = 128 * 1024
MAX_QUEUED_MESSAGES = 64
# A handshake costs 1 to 2 ms of the event loop: these are 250 a second, and less than half of its time.
ACCEPTED_AT_ONCE, ACCEPT_AGAIN_S = 4, 0.016


class Inbox(asyncio.Queue[dict[str, Any]]):
    """The application's queue of one socket. Tells the transport to stop and to go on reading.

    `when_gone` is called with the close code as soon as the client has left, however much is still to be
    handled before that.
    """

    def __init__(self, transport: Any) -> None:
        super().__init__()
        self.when_gone: Callable[[int], None] = lambda code: None
        self._transport = transport
        self._bytes = 0
        self._paused = False

    @property
    def paused(self) -> bool:
        return self._paused

    def put_nowait(self, item: dict[str, Any]) -> None:
        self._bytes += _size(item)
        super().put_nowait(item)
        if not self._paused and self._too_much():
            self._paused = True
            self._transport.pauseProducing()
        if item["type"] == "websocket.disconnect":
            self.when_gone(item.get("code") or 1006)

    async def get(self) -> dict[str, Any]:
        item = await super().get()
        self._bytes -= _size(item)
        if self._paused and not self._too_much():
            self._paused = False
            # A transport that is closing may no longer be told to read.
            if not getattr(self._transport, "disconnecting", False):
                self._transport.resumeProducing()
        return item

    def _too_much(self) -> bool:
        return self._bytes > MAX_QUEUED_BYTES or self.qsize() > MAX_QUEUED_MESSAGES


def _size(message: dict[str, Any]) -> int:
    return len(message.get("bytes") or message.get("text") or message.get("body") or "")


class Outlet:
    """Knows whether the client reads: the transport calls it when its buffer is full and when it is not."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self._last: Callable[[], None] | None = None

    def say(self, what: Callable[[], None]) -> None:
        """Now, or once the client reads again; then only the last that was to be said."""
        if self.open.is_set():
            what()
        else:
            self._last = what

    def pauseProducing(self) -> None:
        self.open.clear()

    def resumeProducing(self) -> None:
        self.open.set()
        last, self._last = self._last, None
        if last is not None:
            last()

    stopProducing = resumeProducing


class Entrance:
    """Lets connections in by fours. Twisted accepts all that wait, a hundred at a time, and those who are in
    would wait for as long as their handshakes take. Meanwhile the kernel keeps the others."""

    def __init__(self, port: Any, later: Callable[..., object]) -> None:
        """`later`: call something after so many seconds."""
        self._port, self._later = port, later
        self._accept = port.doRead
        port.doRead = self._let_in

    def _let_in(self) -> None:
        self._port.numberAccepts = ACCEPTED_AT_ONCE
        self._accept()
        # It has raised the number where it met it: there may be more.
        if self._port.numberAccepts > ACCEPTED_AT_ONCE:
            self._port.stopReading()
            self._later(ACCEPT_AGAIN_S, self._go_on)

    def _go_on(self) -> None:
        if self._port.connected and not self._port.disconnecting:
            self._port.startReading()
