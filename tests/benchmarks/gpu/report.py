"""What was found so far, kept as JSON after every level: a run that is cut short leaves what it has."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TARGET_STREAMS, TARGET_RIGHT, TARGET_RATIO = 1000, 1, 5.0
HEAD = (
    "chunk",
    "streams in time",
    "p50",
    "p95",
    "step p50",
    "rows/s flat out",
    "NeMo's pipeline: streams",
    "rows/s",
    "",
)
Figures = dict[str, Any]


class Report:
    def __init__(self, path: Path, about: Figures) -> None:
        self._path, self._began = path, time.monotonic()
        self.figures: Figures = {**about, "complete": False, "contexts": []}
        path.parent.mkdir(parents=True, exist_ok=True)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:6.1f} s] {text}", flush=True)

    def keep(self, **found: Any) -> None:
        self.figures |= found
        self.figures["seconds"] = round(time.monotonic() - self._began, 1)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self.figures, indent=2) + "\n")
        new.replace(self._path)


def most(rows: Sequence[Mapping[str, Any]]) -> int:
    """The most streams before the first level that was late."""
    found = 0
    for row in rows:
        if not row["in_time"]:
            break
        found = row["streams"]
    return found


def ratio(context: Mapping[str, Any]) -> float | None:
    """Of the most streams in real time: ours paced through the worker, theirs as fast as its steps go."""
    ours, theirs = most(context["paced"]), most(context["nemo"])
    return round(ours / theirs, 2) if ours and theirs else None


def table(figures: Mapping[str, Any]) -> str:
    lines = [
        f"| {' | '.join(HEAD)} |",
        "|---" * len(HEAD) + "|",
    ]
    lines += [_line(context) for context in figures["contexts"]]
    return "\n".join(lines)


def _line(context: Mapping[str, Any]) -> str:
    streams = most(context["paced"])
    best = next((row for row in context["paced"] if row["streams"] == streams), None)
    last = context["paced"][-1]["in_time"] if context["paced"] else False
    cells = [f"{context['chunk_ms']} ms", f"{streams}{' or more' if last else ''}"]
    if best:
        cells += [f"{best['chunk_to_result_p50_ms']:.1f} ms", f"{best['chunk_to_result_p95_ms']:.1f} ms"]
        cells.append(f"{best['step_p50_ms']:.1f} ms of {best['rows_p50']:.0f}")
    else:
        cells += ["-"] * 3
    cells.append(_fastest(context["flat_out"]))
    cells += [str(most(context["nemo"])) if context["nemo"] else "-", _fastest(context["nemo"])]
    times = ratio(context)
    cells.append(f"x{times:g}" if times else "-")
    return f"| {' | '.join(cells)} |"


def _fastest(rows: Sequence[Mapping[str, Any]]) -> str:
    return f"{max(row['rows_per_s'] for row in rows):.0f}" if rows else "-"


def verdict(figures: Mapping[str, Any]) -> str:
    if figures["tiny"]:
        return "A tiny network shows that this runs, and nothing of how fast a GPU is."
    context = next((one for one in figures["contexts"] if one["right"] == TARGET_RIGHT), None)
    if context is None or not context["paced"]:
        return f"At {TARGET_STREAMS} streams of 160 ms: not measured."
    streams, times = most(context["paced"]), ratio(context)
    lines = [
        f"At least {TARGET_STREAMS} streams of 160 ms in time: {streams}, {_met(streams >= TARGET_STREAMS)}."
    ]
    if times is not None:
        lines.append(
            f"At least x{TARGET_RATIO:g} of NeMo's pipeline: x{times:g}, {_met(times >= TARGET_RATIO)}."
        )
    return "\n".join(lines)


def _met(met: bool) -> str:
    return "met" if met else "MISSED"
