"""What the crash matrix finds, as a table: see tests/crash. CRASH_SEED=… tries other moments."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tests.crash import matrix
from tests.crash.faults import ROWS


def run() -> dict[str, Any]:
    print(
        f"crash_matrix: {len(matrix.TENANTS)} tenants with {matrix.LIVE} live streams each at a time and one "
        "recording; something is broken and brought back, then all records are compared."
    )
    results: list[matrix.Result] = []
    with matrix.running() as running:
        for row in ROWS:
            results.append(running.play(row))
            lines = list(matrix.table(results))
            print("\n".join(lines if len(results) == 1 else lines[-1:]), flush=True)
        looks = running.sampler.looks
    faults = {one.row: matrix.wrong(one) for one in results}
    for name, found in faults.items():
        for one in found:
            print(f"{name}: {one}")
    agreed = not any(faults.values())
    print(
        f"{sum(not found for found in faults.values())} of {len(faults)} rows agree to the millisecond and "
        f"the cent; looked {looks} times whether anything was over."
    )
    return {"seed": matrix.seed(), "rows": [asdict(one) for one in results], "agreed": agreed, "looks": looks}
