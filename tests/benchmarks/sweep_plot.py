"""A sweep as one SVG: a panel for each chunk, TTFT p95 over streams, a line for each wait. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from tests.benchmarks.sweep_report import PASS, Row, Slo

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, GAP = 300, 260, 56, 58, 44, 44
COLOURS = ("#1b6ca8", "#d1495b", "#2e933c", "#8f5fbf", "#b8860b", "#444444")
MEANS = "time to first token p95 (ms) by streams; a filled point passes"
TEXT = 'font-family="sans-serif" font-size="11" fill="#222"'


def svg(rows: Sequence[Row], slo: Slo, title: str) -> str:
    measured = [row for row in rows if row.get("ttft_p95_ms") is not None]
    chunks = sorted({row["chunk_ms"] for row in rows})
    waits = list(dict.fromkeys(row["wait_ms"] for row in rows))
    colours = {wait: COLOURS[number % len(COLOURS)] for number, wait in enumerate(waits)}
    highest = max([slo.ttft_p95_ms, *(row["ttft_p95_ms"] for row in measured)]) * 1.15
    most = max((row["streams"] for row in rows), default=1)
    width = LEFT + len(chunks) * (WIDTH + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{TOP + HEIGHT + BOTTOM}">',
        f'<rect width="{width}" height="{TOP + HEIGHT + BOTTOM}" fill="white"/>',
        _text(
            LEFT,
            18,
            f"{title}: time to first token p95 (ms) by streams; a filled point passes",
            weight="bold",
        ),
    ]
    parts += _legend(colours)
    for number, chunk in enumerate(chunks):
        panel = _Panel(LEFT + number * (WIDTH + GAP), highest, most)
        parts += panel.frame(f"chunk {chunk} ms", slo.ttft_p95_ms)
        for wait, colour in colours.items():
            cell = [row for row in measured if row["chunk_ms"] == chunk and row["wait_ms"] == wait]
            parts += panel.line(sorted(cell, key=lambda row: row["streams"]), colour)
    return "\n".join([*parts, "</svg>", ""])


class _Panel:
    def __init__(self, left: float, highest: float, most: int) -> None:
        self._left, self._highest, self._most = left, highest, max(2, most)

    def _x(self, streams: float) -> float:
        """By powers of two: there is more to see where there are few."""
        return self._left + WIDTH * math.log2(max(1.0, streams)) / math.log2(self._most)

    def _y(self, value: float) -> float:
        return TOP + HEIGHT * (1 - min(value, self._highest) / self._highest)

    def frame(self, name: str, limit: float) -> Iterator[str]:
        size = f'width="{WIDTH}" height="{HEIGHT}"'
        yield f'<rect x="{self._left}" y="{TOP}" {size} fill="none" stroke="#999"/>'
        yield _text(self._left + 4, TOP + 14, name)
        for part in range(5):
            value = self._highest * part / 4
            yield _text(self._left - 4, self._y(value) + 4, f"{value:.0f}", anchor="end")
        for power in range(int(math.log2(self._most)) + 1):
            yield _text(self._x(2**power), TOP + HEIGHT + 16, str(2**power), anchor="middle")
        y = self._y(limit)
        yield (
            f'<line x1="{self._left}" y1="{y:.1f}" x2="{self._left + WIDTH}" y2="{y:.1f}" stroke="#c00" '
            'stroke-dasharray="5 4"/>'
        )
        yield _text(self._left + WIDTH - 4, y - 4, "SLO", anchor="end")

    def line(self, rows: Sequence[Row], colour: str) -> Iterator[str]:
        """Filled where the cell passes, hollow where it does not."""
        points = [(self._x(row["streams"]), self._y(row["ttft_p95_ms"])) for row in rows]
        if len(points) > 1:
            joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            yield f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        for (x, y), row in zip(points, rows, strict=True):
            fill = colour if row["slo"] == PASS else "white"
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{colour}"/>'


def _legend(colours: dict[str, str]) -> Iterator[str]:
    for number, (wait, colour) in enumerate(colours.items()):
        x = LEFT + number * 130
        yield f'<rect x="{x}" y="30" width="10" height="10" fill="{colour}"/>'
        yield _text(x + 14, 39, f"wait {wait}")


def _text(x: float, y: float, said: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" {TEXT}>'
        f"{escape(said)}</text>"
    )
