"""A plain WebSocket client, for what an SDK would not send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.acceptance.stack import Stack

SECOND = b"\x00\x01" * 16_000


@asynccontextmanager
async def listening(
    stack: Stack, key: str, query: str = "encoding=linear16&interim_results=true", **options: Any
) -> AsyncIterator[ClientConnection]:
    headers = {"Authorization": f"Token {key}"}
    async with connect(
        f"{stack.ws_url}/v1/listen?{query}", additional_headers=headers, **{"proxy": None, **options}
    ) as socket:
        yield socket


@asynccontextmanager
async def kept_alive() -> AsyncIterator[list[ClientConnection]]:
    """A list for sockets that are not to be closed for saying nothing, until they are closed at the end."""
    sockets: list[ClientConnection] = []

    async def keep() -> None:
        while True:
            await asyncio.gather(
                *(one.send('{"type":"KeepAlive"}') for one in sockets), return_exceptions=True
            )
            await asyncio.sleep(0.5)

    keeping = asyncio.create_task(keep())
    try:
        yield sockets
    finally:
        keeping.cancel()
        await asyncio.gather(*(one.close() for one in sockets))


async def refusal(
    stack: Stack, path: str = "/v1/listen", **options: Any
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, JSON body and headers of a handshake that must not succeed."""
    try:
        async with connect(stack.ws_url + path, **{"proxy": None, **options}):
            raise AssertionError("the handshake was accepted")
    except InvalidStatus as error:
        response = error.response
        return response.status_code, json.loads(response.body or b"{}"), dict(response.headers)


async def rest(socket: ClientConnection) -> tuple[list[dict[str, Any]], int, str]:
    """Everything that still comes, and how it ends."""
    messages = []
    try:
        while True:
            messages.append(json.loads(await socket.recv()))
    except ConnectionClosed:
        return messages, socket.close_code or 0, socket.close_reason or ""


def transcript(messages: list[dict[str, Any]]) -> str:
    finals = [m for m in messages if m["type"] == "Results" and m["is_final"]]
    return " ".join(text for m in finals if (text := m["channel"]["alternatives"][0]["transcript"]))
