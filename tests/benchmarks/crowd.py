"""Many paced streams at once from this process, and when each heard what. The streams all say the same, each
from another moment of it on, and send a packet every PACKET_MS as a microphone would.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests.benchmarks.load_client import BINARY, CLOSE_STREAM, Refused, Socket, connect, frame

RATE = 16_000
PACKET_MS = 40
PACKET_BYTES = RATE * PACKET_MS // 1000 * 2
PATH = f"/v1/listen?encoding=linear16&sample_rate={RATE}&interim_results=true"
NORMAL_CLOSE = 1000
END_SECONDS = 60.0


@dataclass(frozen=True)
class Talk:
    """What a stream says, over and over."""

    pcm: bytes
    speech_starts_s: tuple[float, ...]  # where each utterance begins
    all_from_the_first: bool = False  # every stream begins with the first packet

    @property
    def packets(self) -> int:
        return len(self.pcm) // PACKET_BYTES

    @property
    def seconds(self) -> float:
        return self.packets * PACKET_MS / 1000

    def packet(self, number: int) -> bytes:
        begin = number % self.packets * PACKET_BYTES
        return self.pcm[begin : begin + PACKET_BYTES]

    def starts_between(self, first: int, packets: int) -> list[float]:
        """Where utterances begin in a stream of so many packets from packet `first` on, by its own time."""
        begin, length = first * PACKET_MS / 1000, packets * PACKET_MS / 1000
        rounds = range(int((begin + length) // self.seconds) + 1)
        starts = (
            start + number * self.seconds - begin for number in rounds for start in self.speech_starts_s
        )
        return [start for start in starts if 0 <= start < length]


@dataclass(frozen=True)
class Told:
    """One `Results` message with words."""

    received: float  # clock of this process
    is_final: bool
    end_s: float  # what it is of reaches until here


@dataclass
class Voice:
    """What one stream sent and heard."""

    first: int  # the packet of the talk that it began with
    sent: list[float] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    processed_s: float = 0.0  # by its Metadata
    ended: float = 0.0
    error: str = ""

    def receive(self, received: float, payload: bytes) -> None:
        message = json.loads(payload)
        kind = message["type"]
        if kind == "Results":
            if message["channel"]["alternatives"][0]["words"]:
                end = message["start"] + message["duration"]
                self.told.append(Told(received, message["is_final"], end))
        elif kind == "Metadata":
            self.processed_s, self.ended = message["duration"], received
        elif kind == "Error":
            self.error = str(message.get("variant") or message.get("code") or "Error")


@dataclass(frozen=True)
class Crowd:
    voices: Sequence[Voice]
    latest_packet_ms: float  # how late the latest packet left: what this process cost


async def crowd(
    host: str, port: int, key: str, talk: Talk, count: int, seconds: float, chunk_ms: int
) -> Crowd:
    """The streams begin spread over a chunk, as they would by chance. One that fails stops no other."""
    apart = 0 if talk.all_from_the_first else talk.packets
    voices = [Voice(first=number * apart // count) for number in range(count)]
    sockets = await asyncio.gather(*(_open(host, port, key, voice) for voice in voices))
    gc.collect()
    gc.disable()
    try:
        latest = await _send(sockets, voices, talk, seconds, chunk_ms)
    finally:
        gc.enable()
    await asyncio.gather(*(_end(*pair) for pair in zip(sockets, voices, strict=True)))
    return Crowd(voices, latest * 1000)


async def _open(host: str, port: int, key: str, voice: Voice) -> Socket | None:
    try:
        socket = await connect(host, port, PATH, key)
    except (Refused, OSError, TimeoutError) as error:
        voice.error = str(error) or type(error).__name__
        return None
    socket.on_text = voice.receive
    return socket


async def _send(
    sockets: Sequence[Socket | None], voices: Sequence[Voice], talk: Talk, seconds: float, chunk_ms: int
) -> float:
    frames = [frame(BINARY, talk.packet(number)) for number in range(talk.packets)]
    started = time.perf_counter() + 0.1
    speaking = [index for index, socket in enumerate(sockets) if socket is not None]
    apart = chunk_ms / 1000 / max(1, len(speaking))
    due = [(started + order * apart, index) for order, index in enumerate(speaking)]  # a heap
    latest = 0.0
    while due and due[0][0] < started + seconds:
        moment, index = due[0]
        if (wait := moment - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        now = time.perf_counter()
        latest = max(latest, now - moment)
        socket, voice = sockets[index], voices[index]
        if socket is None or voice.error or socket.closed.done():
            heapq.heappop(due)
            continue
        socket.send(frames[(voice.first + len(voice.sent)) % talk.packets])
        voice.sent.append(now)
        heapq.heapreplace(due, (moment + PACKET_MS / 1000, index))
        if wait <= 0:
            await asyncio.sleep(0)  # behind: let what has come be read all the same
    return latest


async def _end(socket: Socket | None, voice: Voice) -> None:
    if socket is None:
        return
    socket.send(CLOSE_STREAM)
    code = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            code = await socket.closed
    if code != NORMAL_CLOSE and not voice.error:
        voice.error = f"closed with {code}" if code else f"not ended after {END_SECONDS:.0f} s"
    socket.hang_up()
