"""The real OpenAI SDK, pointed at us by its `base_url`: the Realtime API, transcription."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI

from tests.acceptance.stack import Stack

PACKET_S = 0.05
WITHIN_S = 60.0
TRANSCRIPTION = "conversation.item.input_audio_transcription"


class Listener:
    """An open session and all it has said."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.events: list[Any] = []

    def of_type(self, kind: str) -> list[Any]:
        return [event for event in self.events if event.type == kind]

    @property
    def transcripts(self) -> list[str]:
        return [event.transcript for event in self.of_type(f"{TRANSCRIPTION}.completed")]

    def deltas(self, item_id: str) -> str:
        return "".join(e.delta for e in self.of_type(f"{TRANSCRIPTION}.delta") if e.item_id == item_id)

    async def until(self, kind: str, count: int = 1) -> Any:
        """The event of this type, or that many of them, once it has come."""
        async with asyncio.timeout(WITHIN_S):
            while len(found := self.of_type(kind)) < count:
                self.events.append(await self.connection.recv())
        return found[-1]

    async def update(self, **inside: Any) -> Any:
        count = len(self.of_type("session.updated")) + 1
        await self.connection.session.update(session={"type": "transcription", "audio": {"input": inside}})
        return (await self.until("session.updated", count)).session

    async def send(self, pcm: bytes, rate: int, *, realtime: bool = False) -> None:
        packet = int(rate * PACKET_S) * 2
        start = time.monotonic()
        for number, offset in enumerate(range(0, len(pcm), packet), start=1):
            if realtime:
                await asyncio.sleep(max(0.0, start + number * PACKET_S - time.monotonic()))
            audio = base64.b64encode(pcm[offset : offset + packet]).decode()
            await self.connection.input_audio_buffer.append(audio=audio)


@asynccontextmanager
async def transcribing(stack: Stack, key: str) -> AsyncIterator[Listener]:
    async with (
        AsyncOpenAI(api_key=key, base_url=f"{stack.http_url}/v1", max_retries=0) as client,
        client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
    ):
        listener = Listener(connection)
        await listener.until("session.created")
        yield listener
