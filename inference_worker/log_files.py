"""The files of inference logs in one folder, and who has which: a file is locked as long as its worker lives.

The kernel lets go of a lock when its process ends, however it ends. So whoever gets the lock of a file knows
that its writer is dead, and that nobody else ships it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".log"
UNREADABLE = ".unreadable"


@dataclass(frozen=True)
class Extent:
    """How much of a file may be shipped: all up to `size`, which holds all that was processed before `until`.
    `last`: no more will come."""

    size: int
    until: float
    last: bool = False


class LogFile:
    """A file that this process has locked. One thread writes to it; another reads it."""

    def __init__(self, path: Path, fd: int, extent: Extent) -> None:
        self.path, self._fd = path, fd
        self.size = os.fstat(fd).st_size
        self.extent = extent  # replaced as a whole by who writes

    @classmethod
    def create(cls, folder: Path, name: uuid.UUID, head: bytes, now: float) -> LogFile:
        """Raises `OSError`. It has its own name once it is locked: nobody may take it for a dead worker's."""
        path = folder / f"{name}{SUFFIX}"
        new = path.with_suffix(".new")
        fd = os.open(new, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file = cls(path, fd, Extent(0, now))
            file.append(head)
            file.extent = Extent(file.size, now)
            new.rename(path)
        except OSError:
            with suppress(OSError):
                new.unlink()
            os.close(fd)
            raise
        return file

    @classmethod
    def adopt(cls, path: Path) -> LogFile | None:
        """The file of a dead worker; None when its worker lives, or another has it, or it is gone. Raises
        `OSError` when it may not be opened."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            here = os.stat(path)  # who had it before us may have shipped and removed it
            stat = os.fstat(fd)
            if (here.st_dev, here.st_ino) != (stat.st_dev, stat.st_ino):
                raise FileNotFoundError
        except OSError:
            os.close(fd)
            return None
        return cls(path, fd, Extent(stat.st_size, stat.st_mtime, last=True))

    def append(self, data: bytes) -> None:
        """All of it in one write, or none: raises `OSError`, and what was written in part is taken back."""
        written = os.write(self._fd, data)
        if written == len(data):
            self.size += written
            return
        os.ftruncate(self._fd, self.size)
        raise OSError(f"{written} of {len(data)} bytes were written")

    def sync(self) -> None:
        if self._fd < 0:  # which Python takes for a mistake of ours
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        os.fsync(self._fd)

    def read(self, start: int, end: int) -> bytes:
        return os.pread(self._fd, end - start, start)

    def close(self) -> None:
        """Let go of it; whoever takes it next ships what is left."""
        # Who still writes to it is refused, and never writes into what gets its number next.
        fd, self._fd = self._fd, -1
        os.close(fd)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()

    def put_aside(self) -> None:
        """It cannot be read. It is kept for somebody to look at, and is in nobody's way."""
        self.path.rename(self.path.with_suffix(f"{SUFFIX}{UNREADABLE}"))
        self.close()


def others(folder: Path) -> list[Path]:
    """Oldest first; those of the living among them."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(OSError):
            found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found)]


def free_bytes(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def sync_folder(folder: Path) -> None:
    """So that a new file is there after a power failure."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
