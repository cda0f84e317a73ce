"""From what was seen with so many streams to one row of figures. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Steps:
    rows: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def paced_row(
    streams: int,
    chunk_s: float,
    latencies: Sequence[float],
    steps: Steps,
    measured_s: float,
    said: Mapping[str, int],
) -> dict[str, Any]:
    """`latencies` are of every chunk that was due in `measured_s` seconds, answered or not."""
    late = {f"chunk_to_result_p{percent}_ms": _ms(latencies, percent) for percent in (50, 95, 99)}
    return {
        "streams": streams,
        "chunks": len(latencies),
        **late,
        "in_time": bool(latencies) and late["chunk_to_result_p95_ms"] <= 1000 * chunk_s,
        "steps": len(steps.rows),
        "rows_p50": float(np.median(steps.rows)) if steps.rows else 0.0,
        "step_p50_ms": _ms(steps.seconds, 50),
        "step_p95_ms": _ms(steps.seconds, 95),
        "busy": round(sum(steps.seconds) / measured_s, 3),
        **said,
    }


def flat_out_row(streams: int, chunk_s: float, seconds: Sequence[float]) -> dict[str, Any]:
    """`seconds` are of steps in which every stream had a row."""
    p95 = _ms(seconds, 95)
    return {
        "streams": streams,
        "steps": len(seconds),
        "step_p50_ms": _ms(seconds, 50),
        "step_p95_ms": p95,
        "rows_per_s": round(streams * len(seconds) / sum(seconds), 1),
        "in_time": p95 <= 1000 * chunk_s,
    }


def _ms(seconds: Sequence[float], percent: float) -> float:
    return round(1000 * float(np.percentile(seconds, percent)), 2) if len(seconds) else 0.0
