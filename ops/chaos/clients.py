"""What clients do to a gateway: read slowly, fall silent, come and go, send what is none."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from config import env
from ops.chaos import compare, wires
from ops.chaos.client import PACKET_MS, Heard
from ops.chaos.demo import Demo, Footprint, wait_for
from ops.chaos.errors import ChaosError
from ops.chaos.lab import Lab
from ops.chaos.recording import Recording
from ops.chaos.report import Row

WINDOW_BYTES = 4096
GROWS_MB, GROWS = 16.0, 8  # what a gateway may hold more of afterwards: caches, a log line
WORKER_GROWS_MB = 64.0  # an engine keeps what it needed most for a step
TWENTY = 20.0  # messages a second
SCRIPTED = "scripted"
END_S, LET_IN_S, GONE_S = 60.0, 30.0, 30.0
CHUNK_MS = 160
GOODBYE = wires.frame(wires.TEXT, b'{"type":"CloseStream"}')


def slow_consumer(lab: Lab) -> Row:
    demo = lab.demo
    recording, pace = lab.recording, 1.0
    if demo.engine == SCRIPTED:  # which is as quick as it is told to be, whatever it hears
        pace = lab.plan.slow_pace
        recording = Recording(bytes(int(lab.plan.slow_s * pace) * 2 * 16_000), 16_000)
    wanted = lab.wanted(recording, pace if pace == 1 else 5 * pace)
    before, made = demo.footprint(), demo.metrics(demo.worker_url)["worker_partials_total"]
    heard, most_mb = asyncio.run(_read_slowly(lab, recording, pace))
    made = demo.metrics(demo.worker_url)["worker_partials_total"] - made
    faults = [*heard.contradictions, *([heard.failure] if heard.failure else [])]
    if (grown := most_mb - before.rss_mb) > GROWS_MB:
        faults.append(f"the gateway grew by {grown:.0f} MB meanwhile")
    a_second = made / lab.plan.slow_s
    dropped = int(made - heard.partials)
    if a_second >= TWENTY and dropped <= 0:
        faults.append("no partial was dropped")
    words, (twice_ms, missing_ms) = compare.words(wanted, heard.words), demo.billed(heard)
    return Row(
        "slow_consumer",
        f"a client reads a message a second for {lab.plan.slow_s:g} s while {a_second:.0f} partials a second "
        "are made",
        f"memory stays, partials are dropped ({dropped} of {made:.0f} were), every final comes",
        tuple(faults), words.lost, words.doubled, twice_ms, unbilled_ms=missing_ms,
    )  # fmt: skip


async def _read_slowly(lab: Lab, recording: Recording, pace: float) -> tuple[Heard, float]:
    """What it heard, and how large the gateway became."""
    demo, heard, most_mb = lab.demo, Heard(), 0.0
    where = urlsplit(demo.http_url)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
    # In small packets, or the kernel of the other side would keep megabytes for us.
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    raw.connect((where.hostname, where.port))
    raw.setblocking(False)
    async with connect(
        f"ws://{where.netloc}/v1/listen?encoding=linear16&sample_rate={recording.rate}&interim_results=true",
        additional_headers={"Authorization": f"Token {demo.key}"}, sock=raw, max_queue=1, proxy=None,
    ) as line:  # fmt: skip
        speaking = asyncio.create_task(_speak(recording, pace, line, heard))
        slow_until = time.monotonic() + lab.plan.slow_s
        try:
            async with asyncio.timeout(lab.plan.slow_s + END_S):
                while not heard.ended:
                    heard.take(json.loads(await line.recv()))
                    if time.monotonic() < slow_until:
                        most_mb = max(most_mb, (await asyncio.to_thread(demo.footprint)).rss_mb)
                        await asyncio.sleep(1)
        except (ConnectionClosed, TimeoutError):
            heard.failure = f"it never heard the end ({line.close_code} {line.close_reason})"
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)
    return heard, most_mb


async def _speak(recording: Recording, pace: float, line: ClientConnection, heard: Heard) -> None:
    began = time.monotonic()
    for at_ms in range(0, recording.ms, PACKET_MS):
        until_ms = min(at_ms + PACKET_MS, recording.ms)
        if (wait := began + until_ms / 1000 / pace - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        await line.send(recording.piece(at_ms, until_ms))
        heard.sent_ms = until_ms
    await line.send('{"type":"CloseStream"}')


def abandon(lab: Lab) -> Row:
    demo, count = lab.demo, lab.plan.abandons
    idle_s = env.STREAM_IDLE_SECONDS.read(demo.environ)
    _once(demo)
    streams, before = demo.streams(), demo.footprint()
    faults = []
    with ExitStack() as leaving:
        lines = [leaving.enter_context(closing(_let_in(demo))) for _ in range(count)]
        for line in lines:
            for _ in range(2):
                line.sendall(wires.frame(wires.BINARY, bytes(32 * CHUNK_MS)))
        began = time.monotonic()
        ends = [_end(line, idle_s + 10) for line in lines]
        took = time.monotonic() - began
    if set(ends) != {(1011, "NET-0001")}:
        faults.append(f"they ended with {sorted(set(ends))}")
    if not idle_s - 1 <= took <= idle_s + 5:
        faults.append(f"that took {took:.1f} s")
    faults += _left_behind(demo, streams, before)
    return Row(
        "abandon",
        f"{count} clients send two chunks each and fall silent",
        f"after {idle_s:g} s of it they are closed with NET-0001, and nothing is left of them",
        tuple(faults),
        recovery_s=took,
    )


def churn_storm(lab: Lab) -> Row:
    demo, count, seconds = lab.demo, lab.plan.churns, lab.plan.churn_s
    _once(demo)
    for _ in range(10):  # what is made once
        _come_and_go(demo, polite=True)
    wait_for(lambda: demo.streams() == 0, GONE_S, "earlier streams to end")
    streams, before = demo.streams(), demo.footprint()
    began, unheard = time.monotonic(), 0
    for number in range(count):
        unheard += not _come_and_go(demo, polite=number % 2 == 0)
        if (wait := began + (number + 1) * seconds / count - time.monotonic()) > 0:
            time.sleep(wait)
    took = time.monotonic() - began
    faults = _left_behind(demo, streams, before)
    if unheard:
        faults.append(f"{unheard} said goodbye and were not answered")
    return Row(
        "churn_storm",
        f"{count} clients come and go in {took:.0f} s, half of them without a word",
        "no stream is left, and the gateway holds no more memory, files and tasks than before",
        tuple(faults),
    )


def malformed(lab: Lab) -> Row:
    demo, rng, count = lab.demo, random.Random(1), lab.plan.malformed
    before, pids = demo.metrics(), demo.pids
    faults: list[str] = []
    tries: dict[str, Callable[[random.Random], bytes]] = {
        "text": wires.text_that_is_none, "audio": wires.audio_that_is_none, "frame": wires.broken_frame,
    }  # fmt: skip
    for what, make in tries.items():
        for _ in range(count):
            with closing(_let_in(demo)) as line, suppress(ConnectionError):
                line.sendall(make(rng) + (GOODBYE if what != "frame" else b""))
                code, reason = _end(line, 15)
                wanted = (1000,) if what != "frame" else (1002, 1007, 1009)
                if code not in wanted:
                    faults.append(f"{what} that is none ended with {code} {reason}".strip())
    after = demo.metrics()
    for name in ("stenogate_gateway_bad_messages_total", "stenogate_gateway_protocol_errors_total"):
        if (counted := after[name] - before[name]) < count:
            faults.append(f"{name} counted {counted:.0f} of {count}")
    faults += [f"{name} died" for name in ("gateway", "worker") if demo.pids.get(name) != pids.get(name)]
    if not demo.well():
        faults.append("it is not well afterwards")
    return Row(
        "malformed",
        f"{3 * count} streams with text that is no message, noise of odd sizes, frames that break the rules",
        "each is answered by name or borne, all are counted, nothing dies",
        tuple(faults),
    )


# ---- one client


def _let_in(demo: Demo) -> socket.socket:
    """An open stream. Who comes too fast is told to come back, and does."""
    deadline = time.monotonic() + LET_IN_S
    while True:
        try:
            return wires.connect(demo.http_url, demo.key)
        except OSError as error:
            if time.monotonic() > deadline:
                raise ChaosError(f"nobody is let in: {error}") from None
            time.sleep(0.3)


def _come_and_go(demo: Demo, *, polite: bool) -> bool:
    """Whether who says goodbye is answered."""
    with closing(_let_in(demo)) as line, suppress(OSError):
        line.sendall(wires.frame(wires.BINARY, bytes(32 * CHUNK_MS)) + (GOODBYE if polite else b""))
        return not polite or _end(line, 15)[0] == 1000
    return False


def _end(line: socket.socket, within_s: float) -> tuple[int, str]:
    """The close code and its reason; (0, why) without one."""
    line.settimeout(within_s)
    received = b""
    try:
        while True:
            if (found := _close_in(received)) is not None:
                return found
            piece = line.recv(65_536)
            if not piece:
                return 0, "cut off"
            received += piece
    except OSError as error:
        return 0, type(error).__name__


def _close_in(received: bytes) -> tuple[int, str] | None:
    while len(received) >= 2:
        opcode, size, start = received[0] & 15, received[1] & 127, 2
        if size == 126:
            size, start = int.from_bytes(received[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(received[2:10], "big"), 10
        if len(received) < start + size:
            return None
        if opcode == 8:
            body = received[start : start + size]
            return int.from_bytes(body[:2], "big"), body[2:].decode("utf-8", "replace")
        received = received[start + size :]
    return None


def _once(demo: Demo) -> None:
    """Whoever came before us is gone, and what the first stream makes is made."""
    demo.wait_well()
    _come_and_go(demo, polite=True)
    wait_for(lambda: demo.streams() == 0, GONE_S, "earlier streams to end")


def _left_behind(demo: Demo, streams: int, before: Footprint) -> list[str]:
    faults = []
    try:
        wait_for(lambda: demo.streams() <= streams, GONE_S, "the streams to be gone")
    except ChaosError:
        faults.append(f"{demo.streams() - streams} streams are left")
    after = demo.footprint()
    if after.rss_mb - before.rss_mb > GROWS_MB:
        faults.append(f"the gateway grew by {after.rss_mb - before.rss_mb:.0f} MB")
    if after.worker_mb - before.worker_mb > WORKER_GROWS_MB:
        faults.append(f"the worker grew by {after.worker_mb - before.worker_mb:.0f} MB")
    if after.files - before.files > GROWS:
        faults.append(f"{after.files - before.files} files are left open")
    if after.tasks - before.tasks > GROWS:
        faults.append(f"{after.tasks - before.tasks} tasks are left")
    return faults
