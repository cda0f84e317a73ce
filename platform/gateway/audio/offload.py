"""Decoding that is too much for the event loop, piece by piece in a few threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

from gateway.audio.base import Pcm

_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="decode")
# Of their own: a piece of a hostile file can take seconds, for which nobody live should wait.
_file_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="decode-file")


async def in_thread(pieces: Iterator[Pcm], *, of_a_file: bool = False) -> AsyncIterator[Pcm]:
    """The same pieces, each made in a thread while the loop goes on; one at a time, in order."""
    loop = asyncio.get_running_loop()
    threads = _file_threads if of_a_file else _threads
    while (piece := await loop.run_in_executor(threads, next, pieces, None)) is not None:
        yield piece
