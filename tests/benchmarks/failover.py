"""How long a stream is silent when its worker is killed, and what of that is the replay.

Streams speak in real time to two workers, of which one is killed again and again (`kill -9`). *Found out* is
from the kill until another worker has the stream: silence, detection and the turn it waits for. *Replay* is
from there until that worker is where the one before was. *Next* is from the kill to the next partial or
final, and *beyond* is *next* without the replay.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ops.local import ports, valkey
from tests.benchmarks import machine
from tests.benchmarks.measure import percentile

STREAMS = {"scripted": 50, "nemo": 4, "moonshine": 2}
ROUNDS = 5
Move = dict[str, float]
FIGURES = ("found_out", "replay", "replayed_audio", "next", "beyond")


def run(streams: Sequence[int] = (), engine: str = "", rounds: int = ROUNDS) -> dict[str, Any]:
    """Every engine with as many streams as two cores can hear, unless one is named, or a number."""
    engines = [engine] if engine else list(STREAMS)
    if not set(engines) <= set(STREAMS):
        raise machine.CannotMeasure(f"there is no talk for the engine {engine}; take {', '.join(STREAMS)}")
    print(f"failover: two workers, one of them killed {rounds} times; p50 and p95 in seconds.")
    _print(("engine", "streams", "moved", *(name.replace("_", " ") for name in FIGURES)))
    rows = []
    for name in engines:
        for count in streams or [STREAMS[name]]:
            moves = _measure(name, count, rounds)
            rows.append({"engine": name, "streams": count, **figures(moves)})
            _print(_line(rows[-1]))
    return {"rounds": rounds, "rows": rows}


def figures(moves: Sequence[Move]) -> dict[str, Any]:
    found: dict[str, Any] = {"moved": len(moves)}
    for name in FIGURES:
        values = sorted(move[name] for move in moves)
        for percent in (50, 95):
            value = percentile(values, percent)
            found[f"{name}_p{percent}_s"] = None if value is None else round(value, 3)
    return found


def _measure(engine: str, count: int, rounds: int) -> list[Move]:
    with tempfile.TemporaryDirectory(prefix="steno-bench-") as folder:
        server = valkey.start(Path(folder) / "valkey", ports.free_port(), durable=False)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.failover_part", engine, str(count), str(rounds)],
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(map(str, (machine.ROOT, machine.ROOT / "platform"))),
                    "DJANGO_SETTINGS_MODULE": "config.settings",
                    "SECRET_KEY": "only-for-a-benchmark-only-for-a-benchmark",
                    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
                    "REDIS_URL": server.url,
                    "FAILOVER_FOLDER": folder,
                },
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
        finally:
            server.stop()
    if done.returncode:
        raise machine.CannotMeasure(f"the engine {engine} did not get through it (see above)")
    moves: list[Move] = json.loads(done.stdout)
    return moves


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    pairs = [(row[f"{name}_p50_s"], row[f"{name}_p95_s"]) for name in FIGURES]
    cells = ["-" if p50 is None else f"{p50:.2f} {p95:.2f}" for p50, p95 in pairs]
    return (row["engine"], str(row["streams"]), str(row["moved"]), *cells)


def _print(cells: Sequence[str]) -> None:
    print("".join(f"{cell:>16}" for cell in cells), flush=True)
