"""The worker's own record of what it has processed: a file in INFERENCE_LOG_DIR, written before any gateway
hears of it.

`append` is one `write` on the event loop: what it has returned from is in the file, also if this process is
killed in the next instant. Once a second the file is synced to the disk, off the event loop; a machine that
loses its power may lose the last second. Where it cannot be written, the worker takes no streams.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from inference_worker import log_files, log_lines
from inference_worker.log_files import Extent, LogFile
from inference_worker.telemetry import Telemetry

MAX_FILE_BYTES = 64 * 1024 * 1024
LOOKS_EVERY_S = 1.0
# Windows of what becomes one record begin at even seconds, so none of them holds a part of two days.
MARK_EVERY_S = 2
MIN_FREE_BYTES = 16 * 1024 * 1024  # before a disk that was full is tried again

log = structlog.get_logger("worker.inference_log")


class NotWritten(Exception):
    """The inference log cannot be written: what was processed must not be told."""


class InferenceLog:
    def __init__(
        self,
        folder: Path,
        worker: str,
        region: str,
        telemetry: Telemetry,
        *,
        ship: Callable[[LogFile], None],
        unshipped: Callable[[], int],
        max_bytes: int,
        max_file_bytes: int = MAX_FILE_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`ship` takes each new file, `unshipped` says how many bytes are not in the database yet."""
        self.redeclare: Callable[[float], str] = lambda _: ""  # the lines that a new file begins with
        self.begun: Callable[[], None] = lambda: None  # such a file is there
        self._folder, self._worker, self._region = folder, worker, region
        self._telemetry, self._ship, self._unshipped = telemetry, ship, unshipped
        self._max_bytes, self._max_file_bytes, self._clock = max_bytes, max_file_bytes, clock
        self._file: LogFile | None = None
        self._marked_at = 0.0
        self._broken = ""
        self._full = False

    @property
    def trouble(self) -> str | None:
        """Why no new stream may be taken; None: all is well."""
        if self._broken:
            return f"not recorded ({self._broken})"
        return "too much of it is not in the database" if self._full else None

    def begin(self) -> None:
        """A new file; the one before it, if any, is finished. Raises `OSError`."""
        now = self._clock()
        name = uuid.uuid4()
        head = log_lines.Head(str(name), self._worker, self._region, log_lines.moment(now))
        text = log_lines.head(head)
        if lines := self.redeclare(now):
            text += lines + log_lines.mark(now)
        file = LogFile.create(self._folder, name, text.encode(), now)
        try:
            log_files.sync_folder(self._folder)
        except OSError:
            file.remove()
            raise
        self._ship(file)  # before the one before it is finished: see Shipper
        self._finish(now)
        self._file, self._marked_at = file, now
        self.begun()

    @property
    def now(self) -> float:
        return self._clock()

    def append(self, at: float, lines: str) -> None:
        """Raises `NotWritten`."""
        if self._file is None or self._broken:
            raise NotWritten
        mark = log_lines.mark(at).encode() if self._due(at) else b""
        try:
            self._file.append(mark + lines.encode())
        except OSError as error:
            self._breaks(error)
            raise NotWritten from error
        if mark:
            self._marked_at = at
            self._file.extent = Extent(self._file.size - len(lines.encode()), at)

    def _due(self, at: float) -> bool:
        return at // MARK_EVERY_S != self._marked_at // MARK_EVERY_S

    # ---- once in a while

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOKS_EVERY_S)
            before = self._file
            self.look_after()
            if before is not None and before is not self._file:
                with suppress(OSError):  # it may be shipped and gone by now
                    await asyncio.to_thread(before.sync)
            if (file := self._file) is not None and not self._broken:
                try:
                    await asyncio.to_thread(file.sync)
                except OSError as error:
                    self._breaks(error)

    def look_after(self) -> None:
        """Mark what was written, begin another file where that is due, see whether too much waits."""
        if self._broken or (self._file and self._file.size > self._max_file_bytes):
            try:
                if self._broken and log_files.free_bytes(self._folder) < MIN_FREE_BYTES:
                    return
                self.begin()
            except OSError as error:
                self._breaks(error)
                return
            if self._broken:
                log.warning("the inference log is written again")
                self._broken = ""
        self._mark()
        full = self._unshipped() > self._max_bytes
        if full is not self._full:
            self._full = full
            log.warning("too much of the inference log is not shipped", stops_new_streams=full)

    def _mark(self) -> None:
        if self._file is None:
            return
        now = self._clock()
        if self._file.extent.size == self._file.size:
            self._file.extent = Extent(self._file.size, now)  # nothing was processed since
        elif self._due(now):
            try:
                self._file.append(log_lines.mark(now).encode())
            except OSError as error:
                self._breaks(error)
            else:
                self._marked_at = now
                self._file.extent = Extent(self._file.size, now)

    def close(self) -> None:
        """Nothing more is written."""
        if self._file is not None:
            with suppress(OSError):
                self._file.sync()
        self._finish(self._clock())
        self._file = None

    def _finish(self, now: float) -> None:
        if self._file is not None:
            self._file.extent = Extent(self._file.size, now, last=True)

    def _breaks(self, error: OSError) -> None:
        self._telemetry.log_write_failures.inc()
        if not self._broken:
            log.error("the inference log cannot be written", error=error.strerror or str(error))
        self._broken = error.strerror or str(error)
