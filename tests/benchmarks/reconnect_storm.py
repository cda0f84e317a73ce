"""What live streams notice when a thousand clients come at once: how late their results are, before and then.

The clients are in a process of their own, do as `Retry-After` says, and speak once they are in. The engine is
`scripted` and takes time for each row of a step, so that new streams cost something.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.acceptance.stack import Stack, running_stack
from tests.benchmarks import machine
from tests.benchmarks.gateway import CHUNK_MS, PACKET, PACKET_MS, PATH, Paced
from tests.benchmarks.load_client import CLOSE_STREAM, connect
from tests.benchmarks.measure import percentile

LIVE, CLIENTS, SECONDS = (50,), 1000, 20.0
WORKER_STREAMS = 150
SETTINGS = {
    "ENGINE": "scripted",
    "SCRIPTED_ROW_MS": "0.1",
    "BATCH_WAIT_MS": "0,0,0",
    "MAX_STREAMS": str(WORKER_STREAMS),
}


@dataclass
class Timed(Paced):
    """And when it was heard."""

    heard_at: list[float] = field(default_factory=list)

    def receive(self, received: float, payload: bytes) -> None:
        before = len(self.latencies_ms)
        super().receive(received, payload)
        self.heard_at += [received] * (len(self.latencies_ms) - before)


def run(streams: Sequence[int] = LIVE, clients: int = CLIENTS, seconds: float = SECONDS) -> dict[str, Any]:
    print(
        f"reconnect_storm: scripted engine, a worker for {WORKER_STREAMS} streams; {seconds:g} s of quiet, "
        f"then {clients} clients at once, who wait as they are told, for {seconds:g} s."
    )
    print(f"{'live streams':>14}{'p95 before':>14}{'p95 then':>14}{'ratio':>8}{'let in':>8}{'the last':>10}")
    rows = []
    for count in streams:
        with running_stack(SETTINGS) as stack:
            row = asyncio.run(_measure(stack, count, clients, seconds))
        rows.append(row)
        figures = (f"{row[name] or math.nan:.1f} ms" for name in ("before_p95_ms", "storm_p95_ms"))
        print(
            f"{count:>14}", *(f"{figure:>14}" for figure in figures), f"{row['ratio'] or math.nan:>8.2f}",
            f"{row['let_in']:>8}", f"{row['last_let_in_s']:>8.1f} s", sep="", flush=True,
        )  # fmt: skip
        print("".join(f"{times:>14} x {what}\n" for what, times in row["said"].items()), end="")
    return {"clients": clients, "seconds": seconds, "rows": rows}


async def _measure(stack: Stack, count: int, clients: int, seconds: float) -> dict[str, Any]:
    where = urlsplit(stack.http_url)
    host, port = str(where.hostname), where.port or 0
    sockets = [await connect(host, port, PATH, stack.api_key) for _ in range(count)]
    live = [Timed() for _ in sockets]
    for socket, one in zip(sockets, live, strict=True):
        socket.on_text = one.receive
    gc.disable()
    started = time.perf_counter() + 0.1
    due = [(started + index * CHUNK_MS / 1000 / count, index) for index in range(count)]  # a heap
    storm: subprocess.Popen[str] | None = None
    stormed_at = started + seconds
    while due[0][0] < started + 2 * seconds:
        moment, index = due[0]
        if (wait := moment - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        now = time.perf_counter()
        if storm is None and now >= stormed_at:
            storm, stormed_at = _start(host, port, stack.api_key, clients, seconds), now
        sockets[index].send(PACKET)
        live[index].sent.append(now)
        heapq.heapreplace(due, (moment + PACKET_MS / 1000, index))
        if wait <= 0:
            await asyncio.sleep(0)
    gc.enable()
    for socket in sockets:
        socket.send(CLOSE_STREAM)
    ends = await asyncio.gather(*(socket.closed for socket in sockets))
    if set(ends) != {1000}:
        raise RuntimeError(f"live streams ended with {sorted(set(ends))}")
    if storm is None:
        raise RuntimeError("there was no storm")
    said, _ = await asyncio.to_thread(storm.communicate)
    heard = [pair for one in live for pair in zip(one.heard_at, one.latencies_ms, strict=True)]
    before = percentile([ms for at, ms in heard if at < stormed_at], 95)
    then = percentile([ms for at, ms in heard if at >= stormed_at], 95)
    return {
        "live": count, "results": len(heard), "before_p95_ms": before, "storm_p95_ms": then,
        "ratio": then / before if then and before else None, **json.loads(said),
    }  # fmt: skip


def _start(host: str, port: int, key: str, clients: int, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.storm_client", host, str(port), str(clients), str(seconds)],
        cwd=machine.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(key + "\n")
    process.stdin.close()
    process.stdin = None  # `communicate` would flush it
    return process
