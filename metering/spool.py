"""Records on the disk, from the moment they are made until it is known that they are stored. No asyncio.

A folder of segments, which are files of lines; a line is a record and the task that stores it. Whoever writes
or has taken over a segment holds a lock on it (`flock`), which ends with its process, however that ends; so
gateways may share a folder, and what a dead one left is taken over by the next that looks. Records are handed
over in batches. A segment is removed when every batch of it is stored: an empty folder means that all is.

The owner's thread calls `append`, `take` and `stored`; `sync`, `read`, `adopt` and `dispose` may wait for the
disk, and are called in other threads.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

SUFFIX = ".jsonl"
SEGMENT_BYTES = 8 * 1024 * 1024
MAX_SEGMENTS = 256  # open files of a process; of a dead one's more are taken over when these are gone
BATCH_BYTES = 256 * 1024


class SpoolError(Exception):
    """Usage cannot be kept on the disk."""


@dataclass(eq=False)
class Segment:
    path: Path
    fd: int
    size: int = 0  # of whole lines
    lines: int = 0
    taken: int = 0  # bytes that were handed over, stored or not
    taken_lines: int = 0
    synced: int = 0
    batches: int = 0  # that were handed over and are not known to be stored
    open: bool = True  # for more


@dataclass(eq=False)
class Batch:
    """Some lines of a segment, at a time with the broker."""

    segment: Segment
    start: int
    end: int
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


class Spool:
    def __init__(self, folder: Path, max_bytes: int) -> None:
        """`max_bytes` is when no new streams are taken; twice that is when records are lost."""
        self.folder, self.max_bytes = folder, max_bytes
        self.bytes = 0  # in all segments of this process
        self.waiting = 0  # lines that were never handed over
        self._segments: list[Segment] = []  # oldest first
        self._current: Segment | None = None
        self._files = threading.Lock()  # none is closed while another thread is at it
        self._new_names = False  # not yet on the disk
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._create()
            self.close()
        except OSError as error:
            raise SpoolError(
                f"USAGE_SPOOL_DIR: {folder} cannot be used: {error.strerror or error}. "
                "It must be a folder on a local disk that the gateway may write to."
            ) from None

    @property
    def full(self) -> bool:
        return self.bytes >= self.max_bytes

    @property
    def room(self) -> int:
        return 2 * self.max_bytes - self.bytes

    # ---- in the owner's thread

    def append(self, lines: Sequence[bytes]) -> None:
        """Each ends with a newline. All of them are kept, or none and `SpoolError` says why."""
        if not lines:
            return
        data = b"".join(lines)
        segment = self._current
        try:
            if segment is None or segment.size >= SEGMENT_BYTES:
                self._close_current()
                segment = self._current = self._create()
            self._write(segment, data)
        except OSError as error:
            raise SpoolError(f"{self.folder}: {error.strerror or error}") from None
        segment.size += len(data)
        segment.lines += len(lines)
        self.bytes += len(data)
        self.waiting += len(lines)

    def take(self) -> Segment | None:
        """The oldest segment with something to be handed over."""
        return next((segment for segment in self._segments if segment.taken < segment.size), None)

    def taken(self, batch: Batch, lines: int) -> None:
        """It is with the broker."""
        batch.segment.taken = batch.end
        batch.segment.taken_lines += lines
        batch.segment.batches += 1
        self.waiting -= lines

    def stored(self, batches: Iterable[Batch]) -> list[Segment]:
        """Nothing of them is needed any more. The segments that are done, to be disposed of."""
        for batch in batches:
            batch.segment.batches -= 1
        done = [
            segment
            for segment in self._segments
            if segment.taken >= segment.size and not segment.batches and (segment.size or not segment.open)
        ]
        for segment in done:
            self.forget(segment)
        return done

    def forget(self, segment: Segment) -> None:
        self._segments.remove(segment)
        self.bytes -= segment.size
        self.waiting -= segment.lines - segment.taken_lines
        if segment is self._current:
            self._current = None

    def add(self, segments: Iterable[Segment]) -> None:
        """Those that were adopted; they come first, being the oldest."""
        found = list(segments)
        self._segments[:0] = found
        self.bytes += sum(segment.size for segment in found)
        self.waiting += sum(segment.lines for segment in found)

    # ---- in any thread

    def read(self, segment: Segment, start: int, end: int) -> tuple[list[bytes], int]:
        """Whole lines from `start` to `end`, no more than are read at a time, and where they end."""
        size = min(BATCH_BYTES, end - start)
        with self._files:
            data = os.pread(segment.fd, size, start)
        if len(data) < size:
            raise OSError("it has become shorter")
        # What has no line in so many bytes is no line of ours.
        whole = data.rfind(b"\n") + 1 or len(data)
        return data[:whole].removesuffix(b"\n").split(b"\n"), start + whole

    def sync(self) -> None:
        """What was appended is on the disk when this returns. Raises `OSError`."""
        with self._files:
            for segment in list(self._segments):
                size = segment.size
                if segment.synced < size:
                    os.fdatasync(segment.fd)
                    segment.synced = size
            if self._new_names:
                self._new_names = False
                folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)

    def adopt(self) -> list[Segment]:
        """What processes that are no more have left here. A file that cannot be read is named and left."""
        found: list[Segment] = []
        try:
            names = sorted(os.listdir(self.folder))  # not `glob`, which finds nothing where it may not look
        except OSError as error:
            log.error("usage spool: cannot look into %s: %s", self.folder, error.strerror or error)
            return []
        for path in (self.folder / name for name in names if name.endswith(SUFFIX)):
            if len(self._segments) + len(found) >= MAX_SEGMENTS:
                break
            try:
                segment = _adopted(path)
            except OSError as error:
                log.error("usage spool: cannot read %s: %s", path, error.strerror or error)
                continue
            if segment is not None:
                found.append(segment)
        return found

    def dispose(self, segments: Iterable[Segment], *, keep: bool = False) -> None:
        """They are no longer ours; unless they are to be kept, they are gone."""
        for segment in segments:
            with self._files:
                if not keep:
                    with suppress(OSError):
                        segment.path.unlink()
                os.close(segment.fd)
                segment.fd = -1

    def close(self) -> None:
        """Whatever is left lies there for the next."""
        segments, self._segments, self._current = self._segments, [], None
        for segment in segments:
            self.dispose([segment], keep=segment.size > 0)

    # ---- inside

    def _create(self) -> Segment:
        path = self.folder / f"{time.time_ns():020}-{uuid.uuid4().hex}{SUFFIX}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if not _locked(fd):  # somebody who looks for what was left was quicker, and removes it
            os.close(fd)
            return self._create()
        segment = Segment(path, fd)
        self._segments.append(segment)
        self._new_names = True
        return segment

    def _close_current(self) -> None:
        if self._current is not None:
            self._current.open = False
            self._current = None

    def _write(self, segment: Segment, data: bytes) -> None:
        try:
            written = os.write(segment.fd, data)
            if written < len(data):
                raise OSError(f"only {written} of {len(data)} bytes were written")
        except OSError:
            try:
                os.ftruncate(segment.fd, segment.size)  # half a line would be joined by the next one
            except OSError:
                self._close_current()
            raise


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # Whoever had it before may just have removed it.
    return os.fstat(fd).st_nlink > 0


def _adopted(path: Path) -> Segment | None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if not _locked(fd):
            os.close(fd)
            return None
        size, lines, torn = _measured(fd)
    except BaseException:
        os.close(fd)
        raise
    if torn:
        log.warning("usage spool: %s ends in the middle of a record, %d bytes of which are lost", path, torn)
    if not size:
        with suppress(OSError):
            path.unlink()
        os.close(fd)
        return None
    return Segment(path, fd, size=size, lines=lines, synced=size, open=False)


def _measured(fd: int) -> tuple[int, int, int]:
    """The size of its whole lines, their number, and how much there is after them."""
    size = lines = read = 0
    while data := os.pread(fd, 1024 * 1024, read):
        last = data.rfind(b"\n")
        if last >= 0:
            size = read + last + 1
        lines += data.count(b"\n")
        read += len(data)
    return size, lines, read - size
