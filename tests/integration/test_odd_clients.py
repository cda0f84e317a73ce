"""Clients that are slow, or speak what is hardly HTTP: they get an answer, and nothing is kept for them."""

from __future__ import annotations

import asyncio
import json
import socket as sockets_module
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from tests.acceptance.stack import Stack
from tests.acceptance.tenant import Tenant
from tests.integration.sockets import listening, rest

pytestmark = pytest.mark.stack


def handshake(header: str) -> bytes:
    lines = [
        "GET /v1/listen HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
        header,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def test_a_client_that_reads_late_gets_what_was_said_before_the_close(
    scripted_stack: Stack, acme: Tenant
) -> None:
    """A close frame is not an excuse to cut off what a slow network has still to carry."""
    raw = sockets_module.socket()
    raw.setsockopt(sockets_module.SOL_SOCKET, sockets_module.SO_RCVBUF, 4096)
    where = urlsplit(scripted_stack.ws_url)
    raw.connect((where.hostname, where.port))
    raw.setblocking(False)
    finalize = 600
    async with listening(scripted_stack, acme.key, "", sock=raw, max_queue=1) as socket:
        for _ in range(finalize):
            await socket.send(json.dumps({"type": "Finalize"}))
        await socket.send(json.dumps({"type": "CloseStream"}))
        await asyncio.sleep(2.5)  # being late is what this is about
        messages, code, _ = await rest(socket)
    assert code == 1000
    assert sum(m.get("from_finalize", False) for m in messages) == finalize
    assert messages[-1]["type"] == "Metadata"


async def test_pongs_are_not_kept_for_a_client_that_does_not_read(
    scripted_stack: Stack, acme: Tenant
) -> None:
    where, loop = urlsplit(scripted_stack.ws_url), asyncio.get_running_loop()
    pings, last = 80_000, b"last".ljust(125)
    ping, text = b"\x89\xfd" + bytes(4), b'{"type":"KeepAlive"}'  # masked with nothing
    keep_alive = b"\x81" + bytes([0x80 + len(text)]) + bytes(4) + text
    with sockets_module.socket() as raw:
        raw.setsockopt(sockets_module.SOL_SOCKET, sockets_module.SO_RCVBUF, 4096)
        raw.connect((where.hostname, where.port))
        raw.setblocking(False)
        await loop.sock_sendall(raw, handshake(f"Authorization: Token {acme.key}"))
        assert (await loop.sock_recv(raw, 1000)).endswith(b"\r\n\r\n")
        for _ in range(pings // 1000):
            await loop.sock_sendall(raw, (ping + bytes(125)) * 1000 + keep_alive)
        await loop.sock_sendall(raw, ping + last)
        received = bytearray()
        async with asyncio.timeout(30):
            while last not in received[-1000:]:
                received += await loop.sock_recv(raw, 1000)
    # What the network takes of them before it is full is some megabytes.
    assert len(received) < pings * len(last) // 2


async def test_who_speaks_before_the_handshake_is_answered_is_told_to_wait(
    scripted_stack: Stack, acme: Tenant
) -> None:
    where, once = urlsplit(scripted_stack.ws_url), handshake(f"Authorization: Token {acme.key}")
    answers = set()
    for _ in range(10):
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(once)
        await asyncio.sleep(0.001)  # it shall be a message of its own; whether the answer is first is chance
        writer.write(once)
        async with asyncio.timeout(5):
            answers.add(int((await reader.readline()).split()[1]))
        writer.transport.abort()
    assert answers <= {101, 400}


async def test_a_body_that_is_too_large_is_cut_off(scripted_stack: Stack) -> None:
    where = urlsplit(scripted_stack.ws_url)
    _, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
    with suppress(ConnectionError):
        for _ in range(64):
            writer.write(bytes(1024 * 1024))
            async with asyncio.timeout(5):
                await writer.drain()
        pytest.fail("64 MB of it were taken")
    writer.transport.abort()


@pytest.mark.parametrize("offered", ["tok%65n, {key}", "token, {key}\xe9"])
async def test_subprotocols_that_are_none_are_refused_at_once(
    scripted_stack: Stack, acme: Tenant, offered: str
) -> None:
    where = urlsplit(scripted_stack.ws_url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(handshake("Sec-WebSocket-Protocol: " + offered.format(key=acme.key)))
    async with asyncio.timeout(2):
        status = await reader.readline()
    assert int(status.split()[1]) in (400, 401)
    writer.close()
