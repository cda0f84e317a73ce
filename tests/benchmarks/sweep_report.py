"""What a sweep found: which cells pass, which is the best, as CSV and JSON. Pure.

A row is a cell that was measured, or was not because fewer streams had failed already.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

PASS, FAIL, SKIPPED = "pass", "fail", "skipped"
COLUMNS = (
    "right",
    "chunk_ms",
    "wait_ms",
    "streams",
    "slo",
    "why_not",
    "ttft_p50_ms",
    "ttft_p95_ms",
    "first_partial_p50_ms",
    "first_partial_p95_ms",
    "chunk_to_result_p50_ms",
    "chunk_to_result_p95_ms",
    "chunk_to_result_p99_ms",
    "drift_p99_ms",
    "times_real_time",
    "rows_a_step",
    "worker_rss_mb",
    "vram_peak_mb",
    "cuda_alloc_retries",
    "errors",
    "utterances_not_shown",
    "latest_packet_ms",
)


@dataclass(frozen=True)
class Slo:
    ttft_p95_ms: float = 300.0
    drift_p99_ms: float = 1000.0

    def __str__(self) -> str:
        return (
            f"time to first token p95 within {self.ttft_p95_ms:g} ms, drift p99 within "
            f"{self.drift_p99_ms:g} ms, no errors"
        )

    def broken_by(self, row: Row) -> list[str]:
        """What of it a row does not keep. A figure that is missing keeps nothing."""
        broken = []
        for name in ("ttft_p95_ms", "drift_p99_ms"):
            value, limit = row.get(name), getattr(self, name)
            if value is None:
                broken.append(f"no {name}")
            elif value > limit:
                broken.append(f"{name} {value:g}")
        if row.get("errors"):
            broken.append(f"{row['errors']} errors")
        return broken


def judged(row: Row, slo: Slo) -> dict[str, Any]:
    broken = slo.broken_by(row)
    return {**row, "slo": FAIL if broken else PASS, "why_not": "; ".join(broken)}


def best(rows: Sequence[Row]) -> Row | None:
    """Of those that pass, the most streams; of these, the soonest first token."""
    passing = [row for row in rows if row["slo"] == PASS]
    return max(passing, key=lambda row: (row["streams"], -row["ttft_p95_ms"]), default=None)


def as_csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return text.getvalue()


def verdict(rows: Sequence[Row], slo: Slo) -> str:
    counts = {kind: sum(row["slo"] == kind for row in rows) for kind in (PASS, FAIL, SKIPPED)}
    lines = [f"SLO: {slo}. {counts[PASS]} cells pass, {counts[FAIL]} fail, {counts[SKIPPED]} were skipped."]
    found = best(rows)
    if found is None:
        lines.append("No cell passes.")
    else:
        lines.append(
            f"Best: {found['streams']} streams with chunks of {found['chunk_ms']} ms (ATT_RIGHT_CONTEXT="
            f"{found['right']}) and a wait of {found['wait_ms']} ms: TTFT p95 "
            f"{found['ttft_p95_ms']:.0f} ms, drift p99 {found['drift_p99_ms']:.0f} ms."
        )
    return "\n".join(lines)
