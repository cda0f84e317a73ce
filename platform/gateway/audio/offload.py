"""Decoding that is too much for the event loop, piece by piece in a few threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

from gateway.audio.base import Pcm

_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="decode")


async def in_thread(pieces: Iterator[Pcm]) -> AsyncIterator[Pcm]:
    """The same pieces, each made in a thread while the loop goes on; one at a time, in order."""
    loop = asyncio.get_running_loop()
    while (piece := await loop.run_in_executor(_threads, next, pieces, None)) is not None:
        yield piece
