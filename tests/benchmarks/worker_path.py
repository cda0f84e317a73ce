"""How many live streams go through gateway, Valkey and worker at once, with the nemo engine.

The client runs on the same machine. The most streams are searched for at which the 95th percentile of chunk
to result stays within the length of a chunk: their number is doubled until it does not, then the border is
narrowed down. What *chunk to result* is says `crowd_figures`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.acceptance.stack import Stack, running_stack
from tests.benchmarks import crowd_figures, machine, talks
from tests.benchmarks.crowd import PACKET_MS, Talk, crowd

FIRST = 8
SECONDS = 15.0
MOST = 1024
NARROW = 0.1  # the border is known to a tenth
LATE_PACKET_MS = 2 * PACKET_MS

Row = dict[str, Any]


def run(
    streams: Sequence[int] = (),
    engine: str = "nemo",
    model: str = "",
    right: int = 1,
    seconds: float = SECONDS,
) -> dict[str, Any]:
    """With `streams` just these are measured; else they are searched for."""
    chunk_ms, talk = talks.chunk_ms(engine, right), talks.talk(engine)
    machine.need_for(engine, model)
    print(
        f"worker_path: engine {engine}, chunks of {chunk_ms} ms, a packet every {PACKET_MS} ms, "
        f"{seconds:.0f} s each; a crowd is carried while p95 chunk to result stays within a chunk."
    )
    rows: list[Row] = []
    with running_stack(settings(engine, model, right)) as stack:
        _print(HEAD)
        given = iter(streams)
        while count := next(given, 0) if streams else following(rows, chunk_ms):
            rows.append(measure_one(stack, talk, count, seconds, chunk_ms))
            _print(_line(rows[-1], chunk_ms))
    said = verdict(rows, chunk_ms)
    print(f"\n{said}")
    return {
        "engine": engine,
        "right": right,
        "chunk_ms": chunk_ms,
        "packet_ms": PACKET_MS,
        "rows": sorted(rows, key=lambda row: row["streams"]),
        "most_streams": most(rows, chunk_ms),
        "verdict": said,
    }


def settings(engine: str, model: str, right: int) -> dict[str, str]:
    return {
        "ENGINE": engine,
        "MODEL": str(Path(model).absolute()) if model else "",
        "ATT_RIGHT_CONTEXT": str(right),
        "MAX_STREAMS": str(MOST),
        "GATEWAY_MAX_STREAMS": str(MOST),
        **machine.LET_ALL_IN,
    }


def measure_one(stack: Stack, talk: Talk, count: int, seconds: float, chunk_ms: int) -> Row:
    where = urlsplit(stack.http_url)
    pids = stack.pids
    used, own, began = machine.cpu_seconds(pids), time.process_time(), time.perf_counter()
    went = asyncio.run(
        crowd(str(where.hostname), where.port or 0, stack.api_key, talk, count, seconds, chunk_ms)
    )
    wall = time.perf_counter() - began
    cores = {name: round((after - used[name]) / wall, 3) for name, after in machine.cpu_seconds(pids).items()}
    return {
        **crowd_figures.figures(went, talk, chunk_ms),
        "cpu_cores": {**cores, "client": round((time.process_time() - own) / wall, 3)},
        "worker_rss_mb": memory_mb(pids["worker"]),
    }


def memory_mb(pid: int) -> float | None:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return round(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024, 1)
    return None


# ---- the search


def carried(row: Mapping[str, Any], chunk_ms: int) -> bool:
    p95 = row["chunk_to_result_p95_ms"]
    return p95 is not None and p95 <= chunk_ms and not row["errors"]


def most(rows: Sequence[Row], chunk_ms: int) -> int:
    return max((row["streams"] for row in rows if carried(row, chunk_ms)), default=0)


def following(rows: Sequence[Row], chunk_ms: int) -> int:
    """How many streams to try next; 0: the border is known."""
    good = most(rows, chunk_ms)
    too_many = min((row["streams"] for row in rows if not carried(row, chunk_ms)), default=0)
    if not too_many:
        return min(good * 2, MOST) if 0 < good < MOST else FIRST * (not rows)
    gap = too_many - good
    return good + gap // 2 if gap > max(1, NARROW * too_many) else 0


# ---- what is said of it


HEAD = ("streams", "p50", "p95", "p99", "drift p99", "worker", "gateway", "valkey", "client", "all", "errors")


def _line(row: Row, chunk_ms: int) -> tuple[str, ...]:
    cores = row["cpu_cores"]
    late = "*" if row["latest_packet_ms"] > LATE_PACKET_MS else ""
    over = "" if carried(row, chunk_ms) else " over"
    return (
        f"{row['streams']}{late}",
        *(_ms(row[f"chunk_to_result_p{percent}_ms"]) for percent in (50, 95, 99)),
        _ms(row["drift_p99_ms"]),
        *(f"{cores.get(name, 0):.2f}" for name in ("worker", "gateway", "valkey", "client")),
        f"{sum(cores.values()):.2f}",
        f"{row['errors']}{over}",
    )


def verdict(rows: Sequence[Row], chunk_ms: int) -> str:
    found = most(rows, chunk_ms)
    lines = [
        f"{found} streams with p95 chunk to result within {chunk_ms} ms."
        if found
        else f"Not one of the crowds had a p95 chunk to result within {chunk_ms} ms."
    ]
    over = [row for row in rows if not carried(row, chunk_ms)]
    if over:
        first = min(over, key=lambda row: row["streams"])
        busy = sorted(first["cpu_cores"].items(), key=lambda pair: -pair[1])[:3]
        lines.append(
            f"At {first['streams']} it was over, with the cores at "
            + ", ".join(f"{name} {cores:.2f}" for name, cores in busy)
            + "."
        )
    if any(row["latest_packet_ms"] > LATE_PACKET_MS for row in rows):
        lines.append(
            "* some packets left late: the client itself was starved, so its figures are pessimistic."
        )
    return "\n".join(lines)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _print(cells: Sequence[str]) -> None:
    print("".join(f"{cell:>11}" for cell in cells), flush=True)
