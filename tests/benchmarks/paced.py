"""One stream as a microphone makes it, with the time of everything that was sent and received."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect

from tests.benchmarks.speech import RATE, Conversation

PACKET_S = 0.05
PACKET_BYTES = int(RATE * PACKET_S) * 2
END_SECONDS = 60.0


@dataclass(frozen=True)
class Result:
    """One `Results` message."""

    received: float  # clock of this process
    is_final: bool
    word_middles_s: tuple[float, ...]  # where in the stream its words are
    text: str


@dataclass
class Take:
    """What one stream went through."""

    started: float = 0.0  # when its first sample was spoken
    results: list[Result] = field(default_factory=list)
    latest_packet_s: float = 0.0  # how far behind its schedule the slowest packet was
    metadata: dict[str, object] = field(default_factory=dict)

    def sent_at(self, position_s: float) -> float:
        """When the packet that holds this moment of the audio was due to leave."""
        return self.started + (int(position_s / PACKET_S) + 1) * PACKET_S

    @property
    def text(self) -> str:
        return " ".join(r.text for r in self.results if r.is_final)


async def stream(url: str, key: str, conversation: Conversation, delay_s: float) -> Take:
    await asyncio.sleep(delay_s)
    take = Take()
    address = f"{url}/v1/listen?encoding=linear16&sample_rate={RATE}&interim_results=true"
    headers = {"Authorization": f"Token {key}"}
    async with connect(address, additional_headers=headers, compression=None, ping_timeout=120) as socket:
        take.started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(_send(socket, conversation.pcm, take))
            receiver = group.create_task(_receive(socket, take))
            await sender
            await asyncio.wait_for(receiver, END_SECONDS)
    if not take.metadata:
        raise RuntimeError("a stream ended without Metadata")
    return take


async def _send(socket: ClientConnection, pcm: bytes, take: Take) -> None:
    for number, offset in enumerate(range(0, len(pcm), PACKET_BYTES), start=1):
        due = take.started + number * PACKET_S  # a microphone has a packet when its last sample was spoken
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        take.latest_packet_s = max(take.latest_packet_s, time.perf_counter() - due)
        await socket.send(pcm[offset : offset + PACKET_BYTES])
    await socket.send('{"type":"CloseStream"}')


async def _receive(socket: ClientConnection, take: Take) -> None:
    async for raw in socket:
        received = time.perf_counter()
        message = json.loads(raw)
        if message["type"] == "Results":
            best = message["channel"]["alternatives"][0]
            middles = tuple((word["start"] + word["end"]) / 2 for word in best["words"])
            take.results.append(Result(received, message["is_final"], middles, best["transcript"]))
        elif message["type"] == "Metadata":
            take.metadata = message
        elif message["type"] == "Error":
            raise RuntimeError(f"a stream failed: {message['description']}")
