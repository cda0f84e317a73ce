"""Plain HTTP, for what an SDK would not send."""

from __future__ import annotations

import asyncio
import io
import json
import wave
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.acceptance.stack import Stack

# Failed keys are counted by address: these tests use up nobody else's.
ELSEWHERE = "198.51.100.77"
WITHIN_S = 10.0


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(
        self, key: str, path: str = "/v1/listen", *, headers: Iterable[str] = (), body: bytes = b""
    ) -> None:
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: localhost",
            f"Authorization: Token {key}",
            f"X-Forwarded-For: {ELSEWHERE}",
            *headers,
        ]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await self.writer.drain()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, within_s: float = WITHIN_S) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON body."""
        async with asyncio.timeout(within_s):
            status = int((await self.reader.readline()).split()[1])
            headers: dict[str, str] = {}
            while line := (await self.reader.readline()).strip():
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return status, headers, json.loads(body) if body else None

    def cut(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def line(stack: Stack) -> AsyncIterator[Line]:
    where = urlsplit(stack.http_url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()


def token(key: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Token {key}", "X-Forwarded-For": ELSEWHERE, **more}


def wav(seconds: float, *, channels: int = 1, rate: int = 8_000) -> bytes:
    """Something that the scripted engine speaks over; it does not listen."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(b"\x00\x10" * channels * int(seconds * rate))
    return file.getvalue()
