from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.body_errors import BodyTooSlow
from gateway.errors import AccessRefused, NoCapacity
from gateway.recorded import exchange as module
from gateway.recorded.exchange import ClientGone, Exchange
from tenants.errors import KeyMissing


class Client:
    def __init__(self, *headers: tuple[str, str], stall_s: float = 5) -> None:
        self.says: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.heard: list[dict[str, Any]] = []
        scope = {"headers": [(name.encode(), value.encode()) for name, value in headers]}
        self.exchange = Exchange(scope, self.says.get, self._send, "r-1", stall_s=stall_s)

    async def _send(self, message: dict[str, Any]) -> None:
        self.heard.append(message)

    def body(self, data: bytes, *, more: bool) -> None:
        self.says.put_nowait({"type": "http.request", "body": data, "more_body": more})

    def leave(self) -> None:
        self.says.put_nowait({"type": "http.disconnect"})

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.exchange.body()])


async def test_a_body_as_it_comes() -> None:
    client = Client()
    client.body(b"ab", more=True)
    client.body(b"", more=True)
    client.body(b"c", more=False)
    assert await client.read() == b"abc"


async def test_a_body_that_stops_coming_is_given_up_by_name() -> None:
    client = Client(stall_s=0.01)
    client.body(b"ab", more=True)
    with pytest.raises(BodyTooSlow, match=r"Nothing came for 0\.01 seconds"):
        await client.read()


async def test_a_body_that_trickles_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_START_S", -1.0)
    client = Client()
    client.body(b"a" * 255, more=True)
    with pytest.raises(BodyTooSlow, match="256 bytes"):
        await client.read()


async def test_a_client_that_leaves_while_it_sends() -> None:
    client = Client()
    client.body(b"ab", more=True)
    client.leave()
    with pytest.raises(ClientGone):
        await client.read()


async def test_work_ends_when_the_client_leaves() -> None:
    client = Client()
    stopped = asyncio.Event()

    async def work() -> None:
        try:
            client.leave()
            await asyncio.Event().wait()
        finally:
            stopped.set()

    with pytest.raises(ClientGone):
        await client.exchange.while_connected(work())
    assert stopped.is_set()


async def test_work_gives_what_it_makes_and_raises_what_it_raises() -> None:
    async def make(value: object) -> object:
        if isinstance(value, Exception):
            raise value
        return value

    assert await Client().exchange.while_connected(make(3)) == 3
    with pytest.raises(NoCapacity):
        await Client().exchange.while_connected(make(NoCapacity()))


async def test_a_refusal_has_what_clients_look_for() -> None:
    client = Client()
    await client.exchange.refuse(NoCapacity(retry_after_s=2.6), {"why": "full"})
    start, body = client.heard
    headers = dict(start["headers"])
    assert start["status"] == 503
    assert headers[b"retry-after"] == b"3"
    assert headers[b"dg-request-id"] == headers[b"x-request-id"] == b"r-1"
    assert headers[b"dg-error"].startswith(b"Every worker is full.")
    assert headers[b"content-length"] == b"14"
    assert body == {"type": "http.response.body", "body": b'{"why":"full"}', "more_body": False}
    client = Client()
    await client.exchange.refuse(AccessRefused(KeyMissing()), {})
    assert dict(client.heard[0]["headers"])[b"www-authenticate"] == b"Token"


def test_what_headers_say() -> None:
    exchange = Client(("content-type", "Application/JSON; charset=utf-8"), ("content-length", "12")).exchange
    assert (exchange.content_type, exchange.length) == ("application/json", 12)
    assert (Client().exchange.content_type, Client().exchange.length) == ("", None)
    assert Client(("content-length", "-1")).exchange.length is None
