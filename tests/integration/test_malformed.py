"""A hundred thousand frames and handshakes that no client should send: counted, refused, forgotten."""

from __future__ import annotations

import asyncio
import random
import re
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.stack import Stack, wait_for
from tests.acceptance.tenant import Tenant
from tests.benchmarks.gateway import PACKET
from tests.benchmarks.load_client import BINARY, CLOSE_STREAM, Refused, Socket, connect, frame
from tests.integration import garbage
from tests.integration.conftest import METRICS_TOKEN

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

FRAMES, HANDSHAKES = 100_000, 2_000
FRAMES_OF_A_STREAM, BAD_TEXTS_OF_A_STREAM = 200, 8
AT_ONCE = 12  # fewer than a worker has room for
ANSWER_S = 30.0
GROWTH_MB = 40
POOLS = 50  # connections to Valkey and PostgreSQL, kept from the busiest moment
ESTABLISHED, CLOSE_WAIT = "01", "08"
PATH = "/v1/listen?encoding=linear16&sample_rate=16000"
ERRORS = re.compile(r"Traceback|Unhandled|CRITICAL|Exception ignored")


async def test_a_hundred_thousand_malformed_frames_and_handshakes_leave_no_trace(
    scripted_stack: Stack, acme: Tenant, rival: Tenant
) -> None:
    dice = random.Random(20260101)
    pid, worker = scripted_stack.pids["gateway"], scripted_stack.pids["worker"]
    await _throw_frames(scripted_stack, acme.key, dice, FRAMES // 10)
    await _throw_handshakes(scripted_stack, acme.key, dice, HANDSHAKES // 10)
    speed, memory, files = await _packets_per_cpu_second(scripted_stack, rival.key), _rss_mb(pid), _files(pid)
    log = scripted_stack.var / "log" / "gateway.log"
    seen, counted = log.stat().st_size, _metrics(scripted_stack)

    slow = [await _slowloris(scripted_stack, acme.key, number) for number in range(20)]
    await _throw_frames(scripted_stack, acme.key, dice, FRAMES)
    await _throw_handshakes(scripted_stack, acme.key, dice, HANDSHAKES)
    for socket in slow:
        socket.transport.abort()
        with suppress(ConnectionError):
            await socket.wait_closed()

    after = _metrics(scripted_stack)
    grown = {name: after[name] - counted.get(name, 0) for name in after}
    assert grown["stenogate_gateway_bad_messages_total"] >= FRAMES // FRAMES_OF_A_STREAM
    assert grown["stenogate_gateway_protocol_errors_total"] >= FRAMES // FRAMES_OF_A_STREAM // 4
    assert grown["stenogate_gateway_streams_refused_total"] >= HANDSHAKES // 20
    wait_for(
        lambda: _metrics(scripted_stack)["stenogate_gateway_streams_active"] == 0,
        ANSWER_S,
        "every stream to end",
    )
    assert (scripted_stack.pids["gateway"], scripted_stack.pids["worker"]) == (pid, worker)
    assert ERRORS.findall(log.read_text()[seen:]) == []
    wait_for(lambda: _clients(scripted_stack) == 0, ANSWER_S, "every client's socket to be closed")
    assert _files(pid) <= files + POOLS
    assert _rss_mb(pid) - memory < GROWTH_MB
    # By processor time, which a busy machine does not change much, and the best of three.
    assert await _packets_per_cpu_second(scripted_stack, rival.key) > speed / 2


# ---- throwing


async def _throw_frames(stack: Stack, key: str, dice: random.Random, count: int) -> None:
    room = asyncio.Semaphore(AT_ONCE)
    streams = count // FRAMES_OF_A_STREAM
    async with asyncio.TaskGroup() as group:
        for _ in range(streams):
            group.create_task(_bad_stream(stack, key, random.Random(dice.random()), room))


async def _bad_stream(stack: Stack, key: str, dice: random.Random, room: asyncio.Semaphore) -> None:
    where = urlsplit(stack.http_url)
    frames = [garbage.harmless_frame(dice) for _ in range(FRAMES_OF_A_STREAM - BAD_TEXTS_OF_A_STREAM - 1)]
    for _ in range(BAD_TEXTS_OF_A_STREAM):
        frames.insert(dice.randrange(len(frames)), garbage.bad_text(dice))
    async with room, asyncio.timeout(ANSWER_S):
        socket = await _connect_when_there_is_room(str(where.hostname), where.port or 0, key)
        for one in frames:
            socket.send(one)
            await socket.writable.wait()
        socket.send(garbage.ending(dice))
        # Whoever is not closed for what was sent last is gone without a word.
        with suppress(TimeoutError):
            async with asyncio.timeout(dice.choice((0.05, 2))):
                await asyncio.shield(socket.closed)
        socket.hang_up()


async def _connect_when_there_is_room(host: str, port: int, key: str) -> Socket:
    """Those that have just left may still have their slots."""
    while True:
        try:
            return await connect(host, port, PATH, key)
        except Refused as refused:
            if "503" not in str(refused):
                raise
        await asyncio.sleep(0.05)


async def _throw_handshakes(stack: Stack, key: str, dice: random.Random, count: int) -> None:
    room = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(_bad_handshake(stack, garbage.handshake(dice, key), room))


async def _bad_handshake(stack: Stack, request: bytes, room: asyncio.Semaphore) -> None:
    where = urlsplit(stack.http_url)
    async with room, asyncio.timeout(ANSWER_S):
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        with suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
            # What is none is not answered, or not yet: half a request may still become a whole one.
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    answer = await reader.readline()
                    assert not answer.startswith(b"HTTP/1.1 500"), request[:200]
        writer.transport.abort()


async def _slowloris(stack: Stack, key: str, number: int) -> asyncio.StreamWriter:
    """A request, or a frame, that never gets finished."""
    where = urlsplit(stack.http_url)
    _, writer = await asyncio.open_connection(where.hostname, where.port)
    whole = garbage.request("/v1/listen", key)
    writer.write(whole[:60] if number % 2 else whole + frame(BINARY, bytes(640))[:100])
    await writer.drain()
    return writer


# ---- looking


async def _packets_per_cpu_second(stack: Stack, key: str) -> float:
    return max([await _pour(stack, key) for _ in range(3)])


async def _pour(stack: Stack, key: str, packets: int = 3000) -> float:
    where, pid = urlsplit(stack.http_url), stack.pids["gateway"]
    socket: Socket = await connect(str(where.hostname), where.port or 0, PATH, key)
    used = _cpu_s(pid)
    for _ in range(packets):
        socket.send(PACKET)
        await socket.writable.wait()
    socket.send(CLOSE_STREAM)
    async with asyncio.timeout(ANSWER_S):
        assert await socket.closed == 1000
    socket.hang_up()
    return packets / max(_cpu_s(pid) - used, 0.01)


def _metrics(stack: Stack) -> dict[str, float]:
    """Each metric's sum over its labels."""
    asked = urllib.request.Request(
        f"{stack.http_url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}
    )
    with urllib.request.urlopen(asked, timeout=10) as response:
        lines = response.read().decode().splitlines()
    sums: dict[str, float] = {}
    for line in lines:
        if line.startswith("stenogate_gateway"):
            name, _, value = line.rpartition(" ")
            name = name.partition("{")[0]
            sums[name] = sums.get(name, 0) + float(value)
    return sums


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def _clients(stack: Stack) -> int:
    """Connections that the gateway has not closed, as the kernel lists them."""
    port = f":{urlsplit(stack.http_url).port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(port) and line[3] in (ESTABLISHED, CLOSE_WAIT) for line in lines)


def _files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
