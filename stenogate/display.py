"""What a person sees: one live line that grows, and a line for every final. Pipes get finals only."""

from __future__ import annotations

import shutil
import unicodedata
from typing import TextIO

CLEAR_LINE = "\r\x1b[K"


def printable(text: str) -> str:
    """`text` on one line and with nothing in it that a terminal would act on."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def cells(text: str) -> int:
    """Columns `text` takes in a terminal: none for combining marks, two for wide characters."""
    return sum(_cells_of(c) for c in text)


def tail(text: str, width: int) -> str:
    """The end of `text` that fits into `width` columns, with an ellipsis where it was cut."""
    if cells(text) <= width:
        return text
    kept, used = "", 1  # the ellipsis
    for character in reversed(text):
        used += _cells_of(character)
        if used > width:
            break
        kept = character + kept
    return "…" + kept if width > 0 else ""


class Display:
    """Writes finals to `out`, and partials too where `out` is a terminal."""

    def __init__(self, out: TextIO, *, live: bool) -> None:
        self._out = out
        self._live = live
        self._dirty = False

    def partial(self, text: str) -> None:
        if not self._live:
            return
        # The last column stays free: writing there makes some terminals wrap, and the line stays.
        columns = shutil.get_terminal_size().columns - 1
        self._write(CLEAR_LINE + tail(printable(text), columns))
        self._dirty = True

    def final(self, text: str) -> None:
        self.clear()
        line = printable(text)
        if line:
            self._write(line + "\n")

    def clear(self) -> None:
        if self._dirty:
            self._write(CLEAR_LINE)
            self._dirty = False

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _cells_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
