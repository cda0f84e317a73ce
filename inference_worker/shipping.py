"""From inference logs to the database, past Valkey and Celery: a thread reads files and calls a function.

`metering_ship` stores each record once, by file and number, and answers with the last number it has. So a
record may be sent as often as it takes: after a crash in the middle, by another worker, by two at once.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
import structlog
from psycopg.types.json import Jsonb

from faults import kinds
from faults.kinds import Kind
from faults.pauses import pause_s
from inference_worker import log_files
from inference_worker.log_files import LogFile
from inference_worker.log_lines import LineError, Reader, Record, moment
from inference_worker.places import place
from inference_worker.telemetry import Telemetry

SHIPS_EVERY_S = 2.0
TELLS_EVERY_S = 4.0  # how far it is, also when nothing was processed
LOOKS_FOR_OTHERS_EVERY_S = 30.0
FIRST_BACK_OFF_S, MAX_BACK_OFF_S = 1.0, 60.0
CONNECT_S = 5
STATEMENT_MS = 10_000
READS_BYTES = 256 * 1024
MAX_RECORDS = 1000
MAX_ADOPTED = 32  # at a time, so that there are descriptors left for gateways
CALL = "SELECT metering_ship(%s, %s, %s, %s, %s, %s)"

log = structlog.get_logger("worker.shipping")


class _Shipping:
    """How far one file has come."""

    def __init__(self, file: LogFile, *, ours: bool) -> None:
        self.file = file
        self.reader = Reader()
        self.read = self.shipped = 0  # bytes
        self.waiting: list[Record] = []
        self.known = 0 if ours else -1  # the last number that the database has; -1: to be asked for
        self.until = file.extent.until  # as far as the database knows that it is complete
        self.told_at = float("-inf")
        self.unreadable = 0


class Shipper:
    def __init__(self, url: str, folder: Path, telemetry: Telemetry) -> None:
        self._url, self._folder, self._telemetry = url, folder, telemetry
        self._new: queue.SimpleQueue[LogFile] = queue.SimpleQueue()
        self._files: tuple[_Shipping, ...] = ()
        self._not_adopted_bytes = 0
        self._connection: psycopg.Connection | None = None
        self._failures = 0
        self._back_off_s = 0.0
        self._look_at = 0.0  # for files of dead workers
        self._hurry = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="inference-log", daemon=True)

    # ---- from the event loop

    def start(self) -> None:
        self._thread.start()

    def take(self, file: LogFile) -> None:
        """A file of this worker, from its beginning on."""
        self._new.put(file)

    def unshipped_bytes(self) -> int:
        return self._not_adopted_bytes + sum(one.file.size - one.shipped for one in self._files)

    def behind_s(self) -> float:
        """The age of what is longest not in the database."""
        since = [one.until for one in self._files]
        return max(0.0, time.time() - min(since)) if since else 0.0

    def stop(self, within_s: float) -> bool:
        """Ship what is left, as far as there is time. False when something stays for who comes next."""
        self._stopping = True
        self._hurry.set()
        self._thread.join(within_s)
        return not self._files and not self._thread.is_alive()

    # ---- in the thread

    def _run(self) -> None:
        try_at = 0.0
        while True:
            stopping = self._stopping  # before the last files are taken, so that none is forgotten
            self._take_new()
            now = time.monotonic()
            if now >= try_at or stopping:
                try_at = now + self._round(now)
            if stopping:
                self._disconnect()
                return
            self._hurry.wait(SHIPS_EVERY_S)

    def _take_new(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._files = (*self._files, _Shipping(self._new.get_nowait(), ours=True))

    def _adopt(self) -> None:
        """Take on the files that dead workers left; what is too many at once is counted, and taken later."""
        left = 0
        mine = {one.file.path for one in self._files}
        for path in log_files.others(self._folder):
            try:
                file = None if path in mine else LogFile.adopt(path)
            except OSError as error:
                log.error("an inference log cannot be opened", log=path.stem, errno=error.errno)
                continue
            if file is None:
                continue
            if len(self._files) < MAX_ADOPTED:
                log.info("inference log of a dead worker found", log=path.stem, bytes=file.size)
                self._files = (*self._files, _Shipping(file, ours=False))
            else:
                left += file.size
                file.close()
        self._not_adopted_bytes = left

    def _round(self, now: float) -> float:
        """Ship what there is; how long to wait before the next try, if at all."""
        try:
            if now >= self._look_at:
                self._look_at = now + LOOKS_FOR_OTHERS_EVERY_S
                self._adopt()
            trouble: Exception | None = None
            for one in self._files:
                try:
                    self._ship(one)
                except psycopg.Error:
                    raise
                except Exception as error:
                    trouble = error  # of this file: no other waits for it
            if trouble is not None:
                raise trouble
        except Exception as error:  # it must go on: without it nothing is shipped any more
            self._failed(error)
        else:
            if self._failures:
                log.info("the inference log is shipped again", failures=self._failures)
            self._failures = 0
            return 0.0
        return self._back_off_s

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        # What it does not allow it will not allow in a second: somebody has to do something.
        meant = isinstance(error, psycopg.Error) and kinds.of_postgres(error) is Kind.FATAL
        first_s = MAX_BACK_OFF_S / 2 if meant else FIRST_BACK_OFF_S
        self._back_off_s = pause_s(self._failures, first_s=first_s, longest_s=MAX_BACK_OFF_S)
        self._telemetry.log_ship_failures.inc()
        # Its sentence may hold the address and what was sent: name the error only.
        log.warning(
            "the inference log is not shipped",
            error=type(error).__name__,
            code=getattr(error, "sqlstate", None) or getattr(error, "errno", None),
            where=place(error),
            failures=self._failures,
        )
        self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _ship(self, one: _Shipping) -> None:
        try:
            self._ship_all(one)
        except (LineError, psycopg.DataError) as error:  # of the head: what records are is seen to before
            why = str(error) if isinstance(error, LineError) else "the database refuses what it says it is"
            log.error("an inference log cannot be read and is put aside", log=one.file.path.stem, why=why)
            self._telemetry.log_rejected.inc()
            self._files = tuple(other for other in self._files if other is not one)
            one.file.put_aside()

    def _ship_all(self, one: _Shipping) -> None:
        extent = one.file.extent
        self._send(one)
        while one.read < extent.size:
            data = one.file.read(one.read, min(extent.size, one.read + READS_BYTES))
            if not data:
                break
            one.waiting += one.reader.feed(data)
            one.read += len(data)
            self._count_unreadable(one)
            self._send(one)
        if one.reader.head is None and extent.last:
            raise LineError("it is empty")
        if extent.last:
            one.waiting += one.reader.finish()
        self._send(one)
        now = time.monotonic()
        if extent.last:
            # The database must know of the file that follows before it hears that this one is closed: else it
            # would seem that all of this worker is there.
            self._take_new()
            for other in self._files:
                if other.told_at < 0 and not other.file.extent.last:
                    self._ship(other)
        if extent.last or now - one.told_at >= TELLS_EVERY_S:
            self._call(one, [], extent.until, closed=extent.last)
            one.until, one.told_at = extent.until, now
        if extent.last:
            self._files = tuple(other for other in self._files if other is not one)
            one.file.remove()

    def _count_unreadable(self, one: _Shipping) -> None:
        if (more := one.reader.unreadable - one.unreadable) > 0:
            one.unreadable = one.reader.unreadable
            self._telemetry.log_rejected.inc(more)
            log.error("lines of an inference log cannot be read", log=one.file.path.stem, lines=more)

    def _send(self, one: _Shipping) -> None:
        """What waits. It stays until the database has it."""
        if one.waiting and one.known < 0:
            one.known = self._call(one, [], 0.0, closed=False)
        one.waiting = [record for record in one.waiting if record.seq > one.known]
        while one.waiting:
            batch = one.waiting[:MAX_RECORDS]
            self._send_batch(one, batch)
            one.known = batch[-1].seq
            del one.waiting[: len(batch)]
        if not one.reader.in_a_window:
            one.shipped = one.read

    def _send_batch(self, one: _Shipping, batch: Sequence[Record]) -> None:
        """Where the database refuses a record for good, the others must not wait for it."""
        try:
            acknowledged = self._call(one, batch, 0.0, closed=False)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            if len(batch) > 1:
                half = len(batch) // 2
                self._send_batch(one, batch[:half])
                self._send_batch(one, batch[half:])
                return
            self._telemetry.log_rejected.inc()
            log.error(
                "the database refuses a record of an inference log",
                log=one.file.path.stem,
                number=batch[0].seq,
                code=error.sqlstate,
            )
            return
        if acknowledged < batch[-1].seq:
            raise OSError("the database has not acknowledged what it was sent")

    def _call(self, one: _Shipping, records: Sequence[Record], until: float, *, closed: bool) -> int:
        head = one.reader.head
        if head is None:
            return 0
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=CONNECT_S,
                prepare_threshold=None,
                application_name="stenogate-worker",
                tcp_user_timeout=STATEMENT_MS,
            )
        # "All before it began" is true of any file: it is said while more is to come.
        complete = moment(until) if until else head.began
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", (str(STATEMENT_MS),))
            cursor.execute(
                CALL,
                (
                    head.log,
                    head.worker,
                    head.region,
                    complete,
                    closed,
                    Jsonb([record.as_dict() for record in records]),
                ),
            )
            row = cursor.fetchone()
        return int(row[0]) if row else 0
