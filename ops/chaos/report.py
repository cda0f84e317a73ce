"""What came of each experiment, as rows and as a table. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTHS = (17, 36, 40, 7, 9, 9, 8)
HEAD = ("experiment", "what was done", "what was expected", "lost", "doubly", "recovered", "")
UNITS = ("", "", "", "words", "billed", "after", "")


@dataclass(frozen=True)
class Row:
    """`faults`: what was not as expected, in words. None is for what an experiment cannot tell."""

    name: str
    done: str
    expected: str
    faults: tuple[str, ...] = ()
    lost_words: int | None = None
    doubled_words: int | None = None
    double_billed_ms: int | None = None
    recovery_s: float | None = None
    unbilled_ms: int | None = None
    skipped: str = ""  # why it could not be made here

    @property
    def held(self) -> bool:
        return not (self.wrong or self.skipped)

    @property
    def wrong(self) -> tuple[str, ...]:
        found = list(self.faults)
        if self.lost_words:
            found.append(f"{self.lost_words} words lost")
        if self.doubled_words:
            found.append(f"{self.doubled_words} words said twice")
        if self.double_billed_ms:
            found.append(f"{self.double_billed_ms} ms billed twice")
        if self.unbilled_ms:
            found.append(f"{self.unbilled_ms} ms not billed")
        return tuple(found)


def status(rows: Sequence[Row]) -> int:
    """Of the command: 0 if all that could be made held, and anything could."""
    return int(any(row.wrong for row in rows) or not any(row.held for row in rows))


def head() -> Iterator[str]:
    yield from _lines(HEAD)
    yield from _lines(UNITS)
    yield " ".join("-" * width for width in WIDTHS)


def lines(row: Row) -> Iterator[str]:
    verdict = "skipped" if row.skipped else "held" if row.held else "BROKEN"
    yield from _lines(
        (
            row.name,
            row.done,
            row.expected,
            "-" if row.lost_words is None else str(row.lost_words),
            "-" if row.double_billed_ms is None else f"{row.double_billed_ms} ms",
            "-" if row.recovery_s is None else f"{row.recovery_s:.1f} s",
            verdict,
        )
    )
    for fault in row.wrong or ((row.skipped,) if row.skipped else ()):
        yield from textwrap.wrap(fault, 108, initial_indent="    ! ", subsequent_indent="      ")


def summary(rows: Sequence[Row]) -> str:
    broken = sum(bool(row.wrong) for row in rows)
    skipped = sum(bool(row.skipped) for row in rows)
    held = len(rows) - broken - skipped
    return f"{held} of {len(rows)} held, {broken} broke, {skipped} could not be made here."


def _lines(cells: Sequence[str]) -> Iterator[str]:
    wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, WIDTHS, strict=True)]
    for number in range(max(map(len, wrapped))):
        parts = [column[number] if number < len(column) else "" for column in wrapped]
        padded = [
            part.rjust(width) if index in (3, 4, 5) else part.ljust(width)
            for index, (part, width) in enumerate(zip(parts, WIDTHS, strict=True))
        ]
        yield " ".join(padded).rstrip()
