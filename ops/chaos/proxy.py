"""A road of TCP that can be bad: what loss and a partition look like to those at its two ends.

Nobody may drop packets without being root, so they are not dropped. TCP makes of a lost packet a delay of all
that comes after it: until it is sent again, after a timeout that doubles each time it is lost again. This
is what the proxy does to the pieces that it carries. A partition is a road on which nothing moves, in neither
direction, and no connection is refused or closed.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

FIRST_TIMEOUT_S, LONGEST_TIMEOUT_S = 0.2, 3.0  # of Linux, and a little short of the application's patience
PIECE_BYTES = 16_384


def delay_s(loss: float, rng: random.Random) -> float:
    """How long the loss of so large a part of all packets holds up one of them."""
    waited, timeout = 0.0, FIRST_TIMEOUT_S
    while rng.random() < loss and waited < LONGEST_TIMEOUT_S:
        waited += timeout
        timeout *= 2
    return min(waited, LONGEST_TIMEOUT_S)


@dataclass
class Road:
    """Set from any thread."""

    to: tuple[str, int]
    loss: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    port: int = 0
    held_up_s: float = 0.0  # all delays together
    stopped: int = 0  # pieces that met a cut
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._open.clear)

    def mend(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)

    async def serve(self) -> asyncio.Server:
        self._open.set()
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            await self._open.wait()
            far_reader, far_writer = await asyncio.open_connection(*self.to)
            ends.append(far_writer)
            both = [
                asyncio.ensure_future(self._one_way(reader, far_writer)),
                asyncio.ensure_future(self._one_way(far_reader, writer)),
            ]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in both:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        except OSError:
            pass  # nobody is there
        finally:
            for end in ends:
                end.close()
            for end in ends:
                with suppress(OSError):
                    await end.wait_closed()

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                if wait := delay_s(self.loss, self.rng):
                    self.held_up_s += wait
                    await asyncio.sleep(wait)
                self.stopped += not self._open.is_set()
                await self._open.wait()
                writer.write(piece)
                await writer.drain()


@contextmanager
def road(host: str, port: int) -> Iterator[Road]:
    """It is good until somebody says otherwise."""
    found = Road((host, port))
    loop, ready = found._loop, threading.Event()

    async def serve() -> None:
        async with await found.serve() as server:
            ready.set()
            with suppress(asyncio.CancelledError):
                await server.serve_forever()

    async def end() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=loop.run_forever, name="road", daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(serve(), loop)
    ready.wait(5)
    try:
        yield found
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
