"""The log of each process: one file, the one before it, and no more than so much of either."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 20 * 1024 * 1024


def begin_anew(log: Path) -> None:
    """The log of the run before becomes `NAME.log.1`."""
    if log.exists() and log.stat().st_size:
        log.replace(_previous(log))


def keep_bounded(logs: Iterable[Path], max_bytes: int = MAX_BYTES) -> None:
    """Empty those that have grown too long, after a copy. Their writers append, so they need not know."""
    for log in logs:
        with suppress(OSError):
            if log.stat().st_size > max_bytes:
                shutil.copyfile(log, _previous(log))
                with log.open("r+b") as file:
                    file.truncate(0)


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log, indented, or nothing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(f"    {line[:200]}" for line in text.rstrip().splitlines()[-lines:])


def _previous(log: Path) -> Path:
    return log.with_name(log.name + ".1")
