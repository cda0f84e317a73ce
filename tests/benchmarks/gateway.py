"""What the gateway costs: packets a second beside a bare Channels echo, added latency, memory of a stream.

The engine is `scripted`, which takes no time of its own, and the worker does not wait for company, so what
is measured is the way there and back: Daphne, consumer, session, link, Valkey, worker, and back.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inference_worker.engines.scripted import CHUNK_SAMPLES
from tests.acceptance.stack import Stack, free_ports, running_stack, wait_for
from tests.benchmarks import machine, measure
from tests.benchmarks.load_client import BINARY, CLOSE_STREAM, KEEP_ALIVE, Socket, connect, frame
from wire.messages import SAMPLE_RATE

STREAMS = (50, 75, 100, 125, 150, 175, 200, 250, 300)
PACKET_MS, CHUNK_MS = 20, CHUNK_SAMPLES * 1000 // SAMPLE_RATE
PACKET = frame(BINARY, bytes(16 * 2 * PACKET_MS))
PATH = "/v1/listen?encoding=linear16&sample_rate=16000&interim_results=true"
PACED_S = 10.0
FULL_SOCKETS, FULL_PACKETS, FULL_REPEATS = 20, 2000, 3
IDLE_STREAMS = 200
LATENCY_LIMIT_MS, HALF_LOAD_TARGET_MS, RATIO_TARGET, IDLE_TARGET_KB = 50.0, 15.0, 0.5, 200.0
SETTINGS = {
    "ENGINE": "scripted",
    "BATCH_WAIT_MS": "0,0,0",
    "MAX_STREAMS": "4000",
    "GATEWAY_MAX_STREAMS": "4000",
    **machine.LET_ALL_IN,
}

Row = dict[str, Any]


def run(streams: Sequence[int] = STREAMS) -> dict[str, Any]:
    print(
        f"gateway: scripted engine; {FULL_REPEATS} times {FULL_SOCKETS} x {FULL_PACKETS} packets as fast as "
        f"they go, then {' '.join(map(str, streams))} paced streams, a packet every {PACKET_MS} ms, "
        f"for {PACED_S:.0f} s each."
    )
    with running_stack(SETTINGS) as stack, _echo_server() as (echo_port, echo_pid):
        # First, while the gateway has no memory left over from others.
        idle_kb = asyncio.run(_idle_memory_kb(stack))
        full = _compare_rates(stack, echo_port, echo_pid)
        print(f"An idle stream holds {idle_kb:.0f} KB of the gateway's memory.\n")
        rows = _latencies(stack, streams)
    figures = {"full_speed": full, "idle_stream_kb": idle_kb, "paced": rows}
    verdict = _verdict(figures)
    print(f"\n{verdict}")
    return {**figures, "verdict": verdict}


# ---- as fast as it goes


def _compare_rates(stack: Stack, echo_port: int, echo_pid: int) -> Row:
    """Alternately, so that both have the machine as it is: packets a second, and for a second of CPU."""
    ours, bare = [], []
    for _ in range(FULL_REPEATS):
        bare.append(asyncio.run(_full_speed("127.0.0.1", echo_port, echo_pid, "/", "", echo=True)))
        where = urlsplit(stack.http_url)
        ours.append(
            asyncio.run(
                _full_speed(
                    str(where.hostname),
                    where.port or 0,
                    stack.pids["gateway"],
                    PATH,
                    stack.api_key,
                    echo=False,
                )
            )
        )
    row = {
        "bare_packets_per_s": _median([rate for rate, _ in bare]),
        "bare_packets_per_cpu_s": _median([rate for _, rate in bare]),
        "ours_packets_per_s": _median([rate for rate, _ in ours]),
        "ours_packets_per_cpu_s": _median([rate for _, rate in ours]),
    }
    row["ratio"] = row["ours_packets_per_s"] / row["bare_packets_per_s"]
    row["cpu_ratio"] = row["ours_packets_per_cpu_s"] / row["bare_packets_per_cpu_s"]
    _print(("", "packets/s", "per CPU s"))
    _print(("bare echo", f"{row['bare_packets_per_s']:.0f}", f"{row['bare_packets_per_cpu_s']:.0f}"))
    _print(("gateway", f"{row['ours_packets_per_s']:.0f}", f"{row['ours_packets_per_cpu_s']:.0f}"))
    _print(("ratio", f"x{row['ratio']:.2f}", f"x{row['cpu_ratio']:.2f}"))
    return row


async def _full_speed(
    host: str, port: int, pid: int, path: str, key: str, *, echo: bool
) -> tuple[float, float]:
    sockets = [await connect(host, port, path, key) for _ in range(FULL_SOCKETS)]
    used, began = _cpu(pid), time.perf_counter()
    await asyncio.gather(*(_pour(socket, echo=echo) for socket in sockets))
    wall, cpu = time.perf_counter() - began, _cpu(pid) - used
    for socket in sockets:
        socket.hang_up()
    packets = FULL_SOCKETS * FULL_PACKETS
    return packets / wall, packets / max(cpu, 0.01)


async def _pour(socket: Socket, *, echo: bool) -> None:
    done = asyncio.Event()
    heard = 0

    def count() -> None:
        nonlocal heard
        heard += 1
        if heard == FULL_PACKETS:
            done.set()

    if echo:
        socket.on_binary = count
    for _ in range(FULL_PACKETS):
        socket.send(PACKET)
        await socket.writable.wait()
        await asyncio.sleep(0)
    if echo:
        await done.wait()
        return
    socket.send(CLOSE_STREAM)
    code = await socket.closed
    if code != 1000:
        raise RuntimeError(f"a stream ended with {code}")


# ---- at the pace of speech


@dataclass
class Paced:
    sent: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    heard: set[float] = field(default_factory=set)

    def receive(self, received: float, payload: bytes) -> None:
        message = json.loads(payload)
        if message["type"] != "Results":
            return
        words = message["channel"]["alternatives"][0]["words"]
        end = words[-1]["end"] if words else 0
        if not words or end in self.heard:  # its final repeats what a partial said
            return
        self.heard.add(end)
        # The engine can say a word once the chunk is complete in which it ends.
        packets = -(-round(end * 1000) // CHUNK_MS) * CHUNK_MS // PACKET_MS
        if packets <= len(self.sent):  # not what the end of the stream made final
            self.latencies_ms.append((received - self.sent[packets - 1]) * 1000)


def _latencies(stack: Stack, streams: Sequence[int]) -> list[Row]:
    _print(("streams", "p50", "p95", "p99", "latest packet", "gateway", "worker", "valkey", "client"))
    rows: list[Row] = []
    for count in streams:
        rows.append(_measure(stack, count))
        row = rows[-1]
        late = "*" if row["latest_packet_ms"] > PACKET_MS else ""
        cores = [f"{row['cpu_cores'].get(name, 0):.2f}" for name in ("gateway", "worker", "valkey")]
        _print(
            (
                f"{count}{late}",
                *(f"{row[name]:.1f} ms" for name in ("p50_ms", "p95_ms", "p99_ms", "latest_packet_ms")),
                *cores,
                f"{row['client_cpu_cores']:.2f}",
            )
        )
        if row["p95_ms"] > LATENCY_LIMIT_MS:
            break
    return rows


def _measure(stack: Stack, count: int) -> Row:
    used, own, began = machine.cpu_seconds(stack.pids), time.process_time(), time.perf_counter()
    paced, late_ms = asyncio.run(_pace(stack, count))
    wall = time.perf_counter() - began
    latencies = [value for one in paced for value in one.latencies_ms]
    return {
        "streams": count,
        "results": len(latencies),
        **{f"p{percent}_ms": measure.percentile(latencies, percent) for percent in (50, 95, 99)},
        "latest_packet_ms": late_ms,
        "cpu_cores": {
            name: round((after - used[name]) / wall, 3)
            for name, after in machine.cpu_seconds(stack.pids).items()
        },
        "client_cpu_cores": (time.process_time() - own) / wall,
    }


async def _pace(stack: Stack, count: int) -> tuple[list[Paced], float]:
    """The streams begin spread over one chunk, each then sends a packet every PACKET_MS."""
    host, port = _address(stack)
    sockets = [await connect(host, port, PATH, stack.api_key) for _ in range(count)]
    paced = [Paced() for _ in sockets]
    for socket, one in zip(sockets, paced, strict=True):
        socket.on_text = one.receive
    gc.disable()
    started = time.perf_counter() + 0.1
    due = [(started + index * CHUNK_MS / 1000 / count, index) for index in range(count)]  # a heap
    latest = 0.0
    while due[0][0] < started + PACED_S:
        moment, index = due[0]
        if (wait := moment - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        now = time.perf_counter()
        latest = max(latest, now - moment)
        sockets[index].send(PACKET)
        paced[index].sent.append(now)
        heapq.heapreplace(due, (moment + PACKET_MS / 1000, index))
        if wait <= 0:
            await asyncio.sleep(0)
    gc.enable()
    for socket in sockets:
        socket.send(CLOSE_STREAM)
    await asyncio.gather(*(socket.closed for socket in sockets))
    for socket in sockets:
        socket.hang_up()
    return paced, latest * 1000


# ---- idle


async def _idle_memory_kb(stack: Stack) -> float:
    where, pid = urlsplit(stack.http_url), stack.pids["gateway"]

    async def opened(count: int) -> list[Socket]:
        return [
            await connect(str(where.hostname), where.port or 0, PATH, stack.api_key) for _ in range(count)
        ]

    sockets = await opened(20)  # what is allocated once
    before = _rss_kb(pid)
    sockets += await opened(IDLE_STREAMS)
    for socket in sockets:
        socket.send(KEEP_ALIVE)
    await asyncio.sleep(1)
    used = (_rss_kb(pid) - before) / IDLE_STREAMS
    for socket in sockets:
        socket.send(CLOSE_STREAM)
    await asyncio.gather(*(socket.closed for socket in sockets))
    for socket in sockets:
        socket.hang_up()
    return used


# ---- helpers


def _address(stack: Stack) -> tuple[str, int]:
    where = urlsplit(stack.http_url)
    return str(where.hostname), where.port or 0


@contextmanager
def _echo_server() -> Any:
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.echo_server", str(port)], cwd=machine.ROOT
    )

    def answers() -> bool:
        async def ask() -> bool:
            try:
                (await connect("127.0.0.1", port, "/")).hang_up()
            except OSError:
                return False
            return True

        return asyncio.run(ask())

    try:
        wait_for(answers, 30, "the echo server")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(10)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / machine.TICKS


def _rss_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _print(cells: Sequence[str]) -> None:
    print("".join(f"{cell:>14}" for cell in cells), flush=True)


def _verdict(figures: dict[str, Any]) -> str:
    def said(met: bool) -> str:
        return "met" if met else "MISSED"

    rows, ratio, idle = figures["paced"], figures["full_speed"]["ratio"], figures["idle_stream_kb"]
    good = [row for row in rows if row["p95_ms"] <= LATENCY_LIMIT_MS]
    lines = [
        f"At least {RATIO_TARGET:.0%} of the bare echo's packets a second: {ratio:.0%}, "
        f"{said(ratio >= RATIO_TARGET)}.",
        f"An idle stream within {IDLE_TARGET_KB:.0f} KB: {idle:.0f} KB, {said(idle <= IDLE_TARGET_KB)}.",
    ]
    if good:
        most = good[-1]["streams"]
        half = min(rows, key=lambda row: abs(row["streams"] - most / 2))
        met = half["p95_ms"] <= HALF_LOAD_TARGET_MS
        lines += [
            f"p95 stays within {LATENCY_LIMIT_MS:.0f} ms up to {most} streams.",
            f"p95 within {HALF_LOAD_TARGET_MS:.0f} ms at half of that ({half['streams']}): "
            f"{half['p95_ms']:.1f} ms, {said(met)}.",
        ]
    if any(row["latest_packet_ms"] > PACKET_MS for row in rows):
        lines.append(
            "* some packets left late: the client itself was starved, and the figures are pessimistic."
        )
    return "\n".join(lines)
