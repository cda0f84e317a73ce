"""What a caller makes of what it hears; and one that comes back, at a server that cuts it off."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from ops.chaos import client
from ops.chaos.client import Caller, Heard
from ops.chaos.recording import Recording

RECORDING = Recording(bytes(16_000 * 2), 16_000)  # a second


def results(
    seq: int, text: str, *, start: float = 0.0, end: float = 1.0, final: bool = True
) -> dict[str, Any]:
    words = [{"word": word} for word in text.split()]
    return {
        "type": "Results", "seq": seq, "is_final": final, "start": start, "duration": end - start,
        "channel": {"alternatives": [{"words": words}]}, "metadata": {"request_id": "r", "worker": "w"},
    }  # fmt: skip


def test_finals_are_put_together_by_their_numbers() -> None:
    heard = Heard()
    for message in (
        results(0, "one two"),
        results(1, "th", final=False),
        results(1, "three"),
        {"type": "Metadata"},
    ):
        heard.take(message)
    assert heard.words == ["one", "two", "three"]
    assert (heard.partials, heard.ended, heard.request_ids) == (1, True, {"r"})
    assert heard.contradictions == []


def test_a_final_that_comes_twice_or_is_missing_is_found_out() -> None:
    heard = Heard()
    for seq in (0, 0, 2):
        heard.take(results(seq, "x"))
    assert heard.contradictions == ["final 0 came twice", "final 2 came before 1"]


def test_when_it_heard_of_what_was_said_after_a_moment() -> None:
    heard = Heard()
    heard.take(results(0, "a", end=1.0))
    heard.take(results(1, "b", end=2.5))
    assert heard.beyond(2500) is None
    assert heard.beyond(2400) == heard.results[1][0]
    assert heard.reached_ms == 2500


Talk = Callable[[ServerConnection, dict[str, list[str]], int], Any]


async def call(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> Heard:
    monkeypatch.setattr(client, "GIVE_UP_S", 1.0)
    lines = 0

    async def line(socket: ServerConnection) -> None:
        nonlocal lines
        lines += 1
        assert socket.request is not None
        await talk(socket, parse_qs(urlsplit(socket.request.path).query), lines)

    async with serve(line, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await Caller([f"http://127.0.0.1:{port}"], "k", RECORDING, 20).call()


async def test_it_comes_back_with_its_token_and_goes_on_where_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, audio = [], [0, 0, 0]

    async def talk(socket: ServerConnection, query: dict[str, list[str]], line: int) -> None:
        asked.append({name: query.get(name) for name in ("resume", "resume_token", "last_seq")})
        from_ms = 0 if line == 1 else 400
        await socket.send(
            json.dumps({"type": "Resume", "resume_token": f"t{line}", "resume_from_ms": from_ms})
        )
        async for message in socket:
            if isinstance(message, str):
                await socket.send(json.dumps(results(1, "three")))
                await socket.send('{"type":"Metadata"}')
                return
            audio[line] += len(message)
            if line == 1 and audio[1] == 16_000:
                await socket.send(json.dumps(results(0, "one two") | {"resume_token": "t1b"}))
                socket.transport.abort()
                return

    heard = await call(talk, monkeypatch)
    assert heard.failure == ""
    assert heard.words == ["one", "two", "three"]
    assert asked == [
        {"resume": ["true"], "resume_token": None, "last_seq": None},
        {"resume": ["true"], "resume_token": ["t1b"], "last_seq": ["0"]},
    ]
    assert audio[2] == 600 * 32
    assert (heard.resumed, heard.sent_ms, heard.cuts) == (1, 1000, ["1006"])


async def test_it_begins_at_the_first_address_and_comes_back_to_the_next() -> None:
    opened: list[str] = []

    def refuse_once(socket: ServerConnection, request: Request) -> Response | None:
        opened.append("first")
        return socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "") if len(opened) == 1 else None

    async def first(socket: ServerConnection) -> None:
        await socket.send('{"type":"Resume","resume_token":"t","resume_from_ms":0}')
        await socket.recv()
        socket.transport.abort()

    async def second(socket: ServerConnection) -> None:
        opened.append("second")
        await socket.send('{"type":"Resume","resume_token":"t","resume_from_ms":900}')
        await socket.send('{"type":"Metadata"}')

    async with (
        serve(first, "127.0.0.1", 0, process_request=refuse_once) as one,
        serve(second, "127.0.0.1", 0) as other,
    ):
        urls = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in (one, other)]
        heard = await Caller(urls, "k", RECORDING, 20).call()
    assert opened == ["first", "first", "second"]
    assert heard.ended


async def test_without_a_token_a_cut_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(socket: ServerConnection, query: dict[str, list[str]], line: int) -> None:
        await socket.recv()
        await socket.close(4503, "worker_lost")

    heard = await call(talk, monkeypatch)
    assert heard.failure == "cut off (4503 worker_lost) without a resume token"


async def test_it_gives_up_when_nobody_lets_it_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "GIVE_UP_S", 0.5)
    heard = await Caller(["http://127.0.0.1:1"], "k", RECORDING, 20).call()
    assert heard.failure.startswith("nobody let it in for 0.5 s: ")
