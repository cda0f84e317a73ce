"""Recordings on the disk, while they are worked on: files without a name, so that none is ever left behind.

Bounded twice: each by what a recording may be, all of a process together by what the disk may hold.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, TypeVar

from config import env
from gateway.body_errors import UploadTooLarge
from gateway.errors import NoAudio, UploadsFull

T = TypeVar("T")
# Gathered before it goes to a thread: a trip there costs more than a small write.
_WRITE_BYTES = 256 * 1024
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="upload")
# Of its own: looking into a hostile file can take seconds, for which no upload should wait.
_looking = ThreadPoolExecutor(max_workers=4, thread_name_prefix="look")


@dataclass
class Disk:
    """What all uploads of this process may take together."""

    max_bytes: int
    used: int = 0

    def take(self, size: int) -> None:
        if self.used + size > self.max_bytes:
            raise UploadsFull()
        self.used += size

    def give_back(self, size: int) -> None:
        self.used -= size


@cache
def disk() -> Disk:
    """The one of this process."""
    return Disk(env.UPLOAD_DISK_BYTES.read())


class Upload(AbstractContextManager["Upload"]):
    """One recording. Its room on the disk is given back when it is left, with the file."""

    def __init__(self, disk: Disk, max_bytes: int) -> None:
        self._disk, self._max_bytes = disk, max_bytes
        self._file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self._sha256 = hashlib.sha256()
        self._reserved = 0
        self.received = 0  # of what is sent: the audio and what it is wrapped in
        self.size = 0  # of the audio

    def __exit__(self, *_: Any) -> None:
        self._file.close()
        self._disk.give_back(self._reserved)
        self._reserved = 0

    def expect(self, length: int | None) -> None:
        """Before anything is read: raise what is known already, and have the room that will be needed."""
        if length is not None:
            if length > self._max_bytes:
                raise self._too_large()
            self._reserve(length)

    async def take(self, chunks: AsyncIterator[bytes], sink: Callable[[bytes], None] | None = None) -> None:
        """All of a body. It goes to the file, or to `sink`, which picks out what to `write`. In a thread."""
        waiting: list[bytes] = []
        gathered = 0
        async for chunk in chunks:
            self.received += len(chunk)
            if self.received > self._max_bytes:
                raise self._too_large()
            self._reserve(self.received)
            waiting.append(chunk)
            gathered += len(chunk)
            if gathered >= _WRITE_BYTES:
                await in_thread(sink or self.write, b"".join(waiting))
                waiting, gathered = [], 0
        if waiting:
            await in_thread(sink or self.write, b"".join(waiting))

    def write(self, data: bytes) -> None:
        try:
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UploadsFull() from None
            raise
        self._sha256.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def path(self) -> Path:
        """By which it can be opened, also more than once."""
        self._file.seek(0)
        return Path(f"/dev/fd/{self._file.fileno()}")

    def must_be_something(self) -> None:
        if self.size == 0:
            raise NoAudio("It is empty.")

    def _reserve(self, total: int) -> None:
        if total > self._reserved:
            self._disk.take(total - self._reserved)
            self._reserved = total

    def _too_large(self) -> UploadTooLarge:
        return UploadTooLarge(f"At most {self._max_bytes} bytes are taken.")


async def in_thread(function: Callable[..., T], *args: Any, looking: bool = False) -> T:
    """A small piece of work on a file. Waited for when cancelled too: the file is closed after it."""
    threads = _looking if looking else _threads
    work: Awaitable[T] = asyncio.get_running_loop().run_in_executor(threads, function, *args)
    done = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        if not done.cancelled():
            done.exception()
        raise
