from __future__ import annotations

import asyncio

import pytest

from inference_worker import health


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.fixture
async def port():
    server = await health.serve(
        "127.0.0.1", 0, lambda: {"engine": None, "redis": "not connected"}, lambda: b"worker_up 1\n"
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_line_for_each_part_and_503_while_one_is_not_ready(port: int) -> None:
    answer = await ask(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b"engine: ok\nredis: not connected\n")


def test_200_when_every_part_is_ready() -> None:
    assert health.healthz({"engine": None})[0] == "200 OK"


async def test_metrics_and_head(port: int) -> None:
    answer = await ask(port, b"GET /metrics?x=1 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\nworker_up 1\n")
    assert (await ask(port, b"HEAD /metrics HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /secret HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"\xff\xfe \x00 HTTP/9\r\n\r\n", b"400"),
    ],
)
async def test_anything_else_is_told_so(port: int, request_: bytes, status: bytes) -> None:
    assert (await ask(port, request_)).split(b" ")[1] == status


async def test_endless_headers_and_silent_clients_are_cut_off(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await ask(port, b"GET / HTTP/1.1\r\n" + b"x" * 3 * health.MAX_HEADER_BYTES) == b""
    monkeypatch.setattr(health, "READ_TIMEOUT_S", 0.01)
    assert await ask(port, b"GET / HTTP/1.1\r\n") == b""
