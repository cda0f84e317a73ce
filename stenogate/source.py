"""Packets of audio from a file or a pipe, read in a thread, handed over one at a time, paced if asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from stenogate import rate, wav

PACKET_MS = 50
BACKLOG = 8


@dataclass(frozen=True)
class Recording:
    sample_rate: int
    packets: Iterator[bytes]  # linear16 of PACKET_MS each; may block, may end in an InputError


def read(file: BinaryIO) -> Recording:
    """Read the header now and the audio when it is asked for."""
    header = wav.read_header(file)
    factor = rate.factor_for(header.rate)
    per_packet = header.rate * PACKET_MS // 1000 // factor * factor
    blocks = rate.divide(wav.frames(file, header, per_packet), factor)
    return Recording(header.rate // factor, (wav.linear16(block) for block in blocks))


async def in_thread(packets: Iterator[bytes]) -> AsyncIterator[bytes]:
    """`packets` without blocking the loop.

    A daemon thread, not `asyncio.to_thread`: a read that waits for a silent pipe cannot be interrupted, and
    the default executor would wait for it at exit.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
    room = threading.Semaphore(BACKLOG)
    closed = threading.Event()

    def put(item: bytes | BaseException | None) -> bool:
        room.acquire()
        if closed.is_set():
            return False
        try:
            loop.call_soon_threadsafe(queue.put_nowait, item)
        except RuntimeError:  # the loop is gone: nobody listens any more
            return False
        return True

    def pump() -> None:
        try:
            for packet in packets:
                if not put(packet):
                    return
            put(None)
        except BaseException as error:
            put(error)

    threading.Thread(target=pump, daemon=True, name="recording").start()
    try:
        while (item := await queue.get()) is not None:
            room.release()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()
        room.release()  # a thread that waits for room sees that it is closed


async def paced(packets: AsyncIterator[bytes], sample_rate: int) -> AsyncIterator[bytes]:
    """Each packet when its last sample would have been spoken; a late one at once, to catch up."""
    loop = asyncio.get_running_loop()
    start, sent = loop.time(), 0
    async for packet in packets:
        sent += len(packet) // 2
        wait = start + sent / sample_rate - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        yield packet
