"""An inference log in a folder of a test, its clock in the test's hand, and what its files say."""

from __future__ import annotations

import resource
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from inference_worker import log_files, log_lines
from inference_worker.inference_log import InferenceLog
from inference_worker.log_files import LogFile
from inference_worker.log_lines import Described, Head, Reader, Record
from inference_worker.telemetry import Telemetry

TENANT, PROJECT, KEY = (f"0000000{n}-0000-0000-0000-000000000000" for n in (1, 2, 3))
AT = 1_795_305_600.0
OF = {"tenant": TENANT, "project": PROJECT, "key": KEY}


@contextmanager
def full_after(size: int) -> Iterator[None]:
    """No file may grow past `size`: what a full disk is to who writes, without filling one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@dataclass
class Kept:
    """A log, and whoever else has to do with it."""

    folder: Path
    now: float = 1_000.0
    unshipped: int = 0
    max_bytes: int = 1_000
    max_file_bytes: int = 1 << 20
    files: list[LogFile] = field(default_factory=list)
    telemetry: Telemetry = field(default_factory=Telemetry)

    def __post_init__(self) -> None:
        self.log = InferenceLog(
            self.folder,
            "gpu-1",
            "eu",
            self.telemetry,
            ship=self.files.append,
            unshipped=lambda: self.unshipped,
            max_bytes=self.max_bytes,
            max_file_bytes=self.max_file_bytes,
            clock=lambda: self.now,
        )

    def large(self) -> int:
        """Make the file larger than what pytest writes meanwhile, so that the disk is full for it alone."""
        self.log.append(self.now, f"# {' ' * 100_000}\n")
        return self.files[-1].size

    def text(self) -> str:
        return "".join(file.path.read_text() for file in self.files)

    def close(self) -> None:
        self.log.close()
        for file in self.files:
            file.close()


@dataclass
class Writes:
    """A file of a worker, line by line."""

    folder: Path
    tenant: str
    name: uuid.UUID = field(default_factory=uuid.uuid4)

    def __post_init__(self) -> None:
        head = log_lines.head(Head(str(self.name), "gpu-1", "eu", log_lines.moment(AT)))
        self.file = LogFile.create(self.folder, self.name, head.encode(), AT)

    def opened(self, number: int, stream: str, **other: str) -> None:
        given = {
            "tenant": self.tenant,
            "project": str(uuid.UUID(int=2)),
            "key": str(uuid.UUID(int=3)),
            **other,
        }
        of = Described(stream=stream, epoch=1, kind="live", model="m", tags=("night",), **given)
        self.write(log_lines.opened(AT, number, of, 0))

    def step(self, *processed: tuple[int, int]) -> None:
        self.write(log_lines.step(AT + 1, processed))

    def mark(self) -> None:
        self.write(log_lines.mark(AT + 2))

    def write(self, lines: str) -> None:
        self.file.append(lines.encode())

    def dies(self) -> None:
        self.file.close()


@dataclass
class Base:
    """Where it is shipped to, as a worker reaches it and as its owner does."""

    url: str
    owner: str

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.owner) as asking:
            asking.execute("SET ROLE stenogate_app_staff")
            return asking.execute(query).fetchall()  # type: ignore[arg-type]

    def records(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "SELECT seq, stream, from_ms, to_ms, settled FROM metering_inferencerecord ORDER BY log, seq"
        )

    def logs(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT worker, region, shipped, closed FROM metering_inferencelog ORDER BY log")


def written(folder: Path) -> list[Record]:
    """What the next worker there would ship, had this one died now."""
    found = []
    for path in log_files.others(folder):
        reader = Reader()
        found += reader.feed(path.read_bytes()) + reader.finish()
    return found


def counted(records: list[Record], stream: str = "s") -> int:
    """The milliseconds of a stream that count: each epoch as far as it was settled, nothing twice."""
    covered: set[int] = set()
    for epoch in {record.of.epoch for record in records}:
        its = [record for record in records if record.of.stream == stream and record.of.epoch == epoch]
        until = min((record.to_ms for record in its if record.settled), default=None)
        for record in its:
            end = record.to_ms if until is None else min(record.to_ms, until)
            covered.update(range(record.from_ms, end))
    return len(covered)
