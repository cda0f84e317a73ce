"""What the person at the terminal sees: a line a step, and what is being done now."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TextIO

CLEAR = "\r\x1b[K"
NAME_WIDTH, DETAIL_WIDTH = 11, 52


class Console:
    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.is_terminal = self.out.isatty()
        self._transient = False
        unicode = (self.out.encoding or "").lower().replace("-", "") == "utf8"
        self.tick, self.cross, self.dots, self.arrow = "✓✗…→" if unicode else ("+", "x", "...", "->")

    def line(self, text: str = "") -> None:
        self._write((CLEAR if self._transient else "") + text + "\n")
        self._transient = False

    def doing(self, text: str) -> None:
        """Said until the next line, to a terminal only."""
        if self.is_terminal:
            self._write(f"{CLEAR}  {self.dots} {text}")
            self._transient = True

    def done(self, name: str, detail: str, seconds: float) -> None:
        self.line(f"  {self.tick} {name:{NAME_WIDTH}} {detail:{DETAIL_WIDTH}} {seconds:5.1f} s")

    def event(self, text: str) -> None:
        """Something happened while everything runs: with the time of day."""
        self.line(f"{time.strftime('%H:%M:%S')}  {text}")

    def _write(self, text: str) -> None:
        # The terminal may be gone; what runs must be ended all the same.
        with suppress(OSError, ValueError):
            self.out.write(text)
            self.out.flush()
