"""A server with streams that can be resumed, and with connections that break as each test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from stenogate.feed import Layout

LAYOUT = Layout(rate=8_000, frame_bytes=2)
FINAL_MS = 100
LEAD_MS = 150  # so much before the last final does another gateway begin


@dataclass(frozen=True)
class Step:
    """What becomes of one connection, or of one try to open it."""

    refuse: int = 0
    code: str = "no_capacity"
    headers: tuple[tuple[str, str], ...] = ()
    cut_after: int | None = None  # so many messages
    close: tuple[int, str] | None = None  # the frame with which it is cut; None: with none
    elsewhere: bool = False  # another gateway, which needs some of the audio again
    url: str = ""  # where to come back to, in the last message before the cut
    from_ms: str | None = None  # something else than is true
    resumes: bool = True  # otherwise it gives no token


@dataclass
class Flaky:
    """One stream. Says `w0` when it has heard 100 ms, then `w1`, and so on, each with a partial before it."""

    steps: list[Step] = field(default_factory=list)
    url: str = ""
    said: int = 0
    heard: bytearray = field(default_factory=bytearray)
    asked: list[dict[str, str]] = field(default_factory=list)  # the query of each handshake
    keys: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)  # tokens
    step: Step = field(default_factory=Step)
    opened: int = 0
    window_s: float = 60.0

    def process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        query = {name: values[-1] for name, values in parse_qs(urlsplit(request.path).query).items()}
        self.asked.append(query)
        self.keys.append(request.headers.get("Authorization", ""))
        self.step = self.steps.pop(0) if self.steps else Step()
        if self.step.refuse:
            return _refusal(self.step.refuse, self.step.code, self.step.headers)
        token = query.get("resume_token")
        if token is not None and token not in self.known:
            return _refusal(400, "resume_bad_token")
        if token is None:
            self.said = 0
            self.heard.clear()
        elif self.step.elsewhere:
            del self.heard[LAYOUT.size(max(0, self.said * FINAL_MS - LEAD_MS)) :]
        return None

    def process_response(self, socket: ServerConnection, request: Request, response: Response) -> None:
        self.opened += 1
        if not self.step.resumes:
            return
        response.headers["stenogate-resume-token"] = self._token()
        from_ms = self.step.from_ms
        response.headers["stenogate-resume-from-ms"] = (
            str(LAYOUT.ms(len(self.heard))) if from_ms is None else from_ms
        )

    def _token(self) -> str:
        token = f"token-{self.opened}-{self.said}"
        self.known.add(token)
        return token

    async def handle(self, socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await self._converse(socket, self.step, self.asked[-1])

    async def _converse(self, socket: ServerConnection, step: Step, query: dict[str, str]) -> None:
        left = step.cut_after

        async def say(message: dict[str, Any]) -> None:
            nonlocal left
            if left == 0:
                if step.url:
                    await socket.send(json.dumps({**self._resume(), "url": step.url}))
                await self._cut(socket, step)
            left = None if left is None else left - 1
            await socket.send(json.dumps(message))

        last_seq = int(query.get("last_seq", -1))
        await say(self._resume())
        for seq in range(last_seq + 1, self.said):
            await say(self._result(seq, f"w{seq}", final=True))
        await self._say_due(say)
        async for packet in socket:
            if packet == '{"type":"CloseStream"}':
                await say({"type": "Metadata", "request_id": "req-1"})
                if left == 0:
                    await self._cut(socket, step)
                await socket.close(1000)
                return
            if isinstance(packet, bytes):
                self.heard += packet
            await self._say_due(say)

    async def _say_due(self, say: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        while LAYOUT.ms(len(self.heard)) >= (self.said + 1) * FINAL_MS:
            await say(self._result(self.said, f"w{self.said}…", final=False))
            self.said += 1
            seq = self.said - 1
            await say({**self._result(seq, f"w{seq}", final=True), "resume_token": self._token()})

    async def _cut(self, socket: ServerConnection, step: Step) -> None:
        if step.close is None:
            socket.transport.abort()
        else:
            await socket.close(*step.close)
        raise ConnectionClosed(None, None)

    def _resume(self) -> dict[str, Any]:
        return {
            "type": "Resume", "request_id": "req-1", "resume_token": self._token(),
            "resume_from_ms": LAYOUT.ms(len(self.heard)), "next_seq": self.said, "window_s": self.window_s,
        }  # fmt: skip

    def _result(self, seq: int, text: str, *, final: bool) -> dict[str, Any]:
        return {
            "type": "Results", "seq": seq, "is_final": final, "channel_index": [0, 1],
            "start": seq * FINAL_MS / 1000, "duration": FINAL_MS / 1000,
            "channel": {"alternatives": [{"transcript": text}]}, "metadata": {"request_id": "req-1"},
        }  # fmt: skip


def _refusal(status: int, code: str, headers: Iterable[tuple[str, str]] = ()) -> Response:
    body = json.dumps({"err_code": code, "err_msg": "No.", "request_id": "req-1"}).encode()
    return Response(
        status, HTTPStatus(status).phrase, Headers([("Content-Length", str(len(body))), *headers]), body
    )


@asynccontextmanager
async def flaky(*steps: Step) -> AsyncIterator[Flaky]:
    fake = Flaky(list(steps))
    async with serve(
        fake.handle, "127.0.0.1", 0,
        process_request=fake.process_request, process_response=fake.process_response, close_timeout=1,
    ) as server:  # fmt: skip
        port = next(iter(server.sockets)).getsockname()[1]
        fake.url = f"ws://127.0.0.1:{port}"
        yield fake


async def packets(audio: bytes, size: int = 160) -> AsyncIterator[bytes]:
    for at in range(0, len(audio), size):
        yield audio[at : at + size]
        await asyncio.sleep(0)
