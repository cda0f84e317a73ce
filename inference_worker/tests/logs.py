"""An inference log in a folder of a test, its clock in the test's hand, and what its files say."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from inference_worker import log_files
from inference_worker.inference_log import InferenceLog
from inference_worker.log_files import LogFile
from inference_worker.log_lines import Reader, Record
from inference_worker.telemetry import Telemetry

TENANT, PROJECT, KEY = (f"0000000{n}-0000-0000-0000-000000000000" for n in (1, 2, 3))
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
