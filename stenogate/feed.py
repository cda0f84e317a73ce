"""The audio of a stream as it comes from its source, and what of it may have to be sent again.

Bare samples have a place each, so any millisecond can be sent again. At most `AHEAD_S` of live audio wait to
be sent while there is no connection, and `KEPT_S` of what was sent are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from stenogate.errors import InputError

# The server holds up to 20 s that wait, and another of its gateways may have to begin 130 s before those.
KEPT_S = 240
AHEAD_S, AHEAD_OF_A_FILE_S = 90, 1
MAX_PACKET_BYTES = 32_000


@dataclass(frozen=True)
class Layout:
    """How bare samples lie one after the other."""

    rate: int
    frame_bytes: int = 2  # of one sample of every channel

    def ms(self, size: int) -> int:
        return size // self.frame_bytes * 1000 // self.rate

    def size(self, ms: int) -> int:
        return ms * self.rate // 1000 * self.frame_bytes


class Feed:
    """Places are in bytes from the start of the audio."""

    def __init__(self, layout: Layout, *, live: bool) -> None:
        self.layout = layout
        self.sent = 0  # the furthest
        self.complete = False
        self.error: InputError | None = None  # the source broke off
        self._kept = bytearray()
        self._start = 0
        self._ahead = layout.size(1000 * (AHEAD_S if live else AHEAD_OF_A_FILE_S))
        self._most_kept = layout.size(1000 * KEPT_S) + self._ahead
        self._more, self._room = asyncio.Event(), asyncio.Event()

    @property
    def start(self) -> int:
        return self._start

    @property
    def end(self) -> int:
        return self._start + len(self._kept)

    async def fill(self, packets: AsyncIterator[bytes], stop: asyncio.Event) -> None:
        """Until they end or `stop` is set, with no more at a time than may wait."""
        stopped = asyncio.create_task(stop.wait())
        stopped.add_done_callback(lambda _: self._room.set())
        following: asyncio.Future[bytes] | None = None
        try:
            while not stopped.done():
                following = asyncio.ensure_future(anext(packets))
                await asyncio.wait({following, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if following.done():
                    self._append(following.result())
                while self.end - self.sent >= self._ahead and not stopped.done():
                    self._room.clear()
                    await self._room.wait()
        except StopAsyncIteration:
            pass
        except InputError as error:
            self.error = error
        finally:
            stopped.cancel()
            if following is not None:
                following.cancel()
            self.complete = True
            self._more.set()

    def _append(self, packet: bytes) -> None:
        self._kept += packet
        # Never what is not sent yet: a source may give more in one piece than is kept.
        surplus = min(len(self._kept) - self._most_kept, self.sent - self._start)
        if surplus > 0:
            del self._kept[:surplus]
            self._start += surplus
        self._more.set()

    async def packet(self, at: int, within_s: float) -> bytes | None:
        """What there is from that place on; nothing if the source is quiet for so long; None at the end."""
        if at >= self.end:
            if self.complete:
                return None
            self._more.clear()
            try:
                await asyncio.wait_for(self._more.wait(), within_s)
            except TimeoutError:
                return b""
        first = at - self._start
        return bytes(self._kept[first : first + MAX_PACKET_BYTES]) or (None if self.complete else b"")

    def note_sent(self, until: int) -> None:
        self.sent = max(self.sent, until)
        self._room.set()
