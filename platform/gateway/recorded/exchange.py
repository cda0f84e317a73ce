"""One HTTP request and its answer, as an ASGI application sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import msgspec

from gateway.auth import header
from gateway.body_errors import BodyTooSlow
from gateway.errors import GatewayError
from wire.tasks import end

T = TypeVar("T")
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = Mapping[str, str]

# A body slower than this, once it has had its time to begin, is held open for nothing.
LEAST_BYTES_PER_S = 256
SLOW_START_S = 30.0


class ClientGone(Exception):
    """There is nobody left to answer."""


class Exchange:
    def __init__(
        self, scope: Mapping[str, Any], receive: Receive, send: Send, request_id: str, *, stall_s: float
    ) -> None:
        self.scope, self.request_id = scope, request_id
        self.started = False
        self._receive, self._send = receive, send
        self._stall_s = stall_s
        self._body_read = False

    # ---- the request

    def header(self, name: str) -> str:
        return header(self.scope["headers"], name.encode()) or ""

    @property
    def content_type(self) -> str:
        """In lower case, without what follows it."""
        return self.header("content-type").partition(";")[0].strip().lower()

    @property
    def length(self) -> int | None:
        said = self.header("content-length")
        return int(said) if said.isascii() and said.isdecimal() and len(said) < 19 else None

    async def body(self) -> AsyncIterator[bytes]:
        """As it comes. Raises `BodyTooSlow` and `ClientGone`."""
        began, received = time.monotonic(), 0
        while True:
            try:
                async with asyncio.timeout(self._stall_s):
                    message = await self._receive()
            except TimeoutError:
                raise BodyTooSlow(f"Nothing came for {self._stall_s:g} seconds.") from None
            if message["type"] != "http.request":
                raise ClientGone
            received += len(message["body"])
            if message["body"]:
                yield message["body"]
            if not message["more_body"]:
                self._body_read = True
                return
            late = time.monotonic() - began - SLOW_START_S
            if received < late * LEAST_BYTES_PER_S:
                raise BodyTooSlow(f"Less than {LEAST_BYTES_PER_S} bytes came in a second.")

    async def while_connected(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives. It is cancelled when the client leaves."""
        tasks = working, watching = asyncio.create_task(work), asyncio.create_task(self._left())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ClientGone
            return working.result()
        finally:
            await end((working, watching))

    async def _left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    # ---- the answer

    async def start(self, status: int, content_type: str, headers: Headers | None = None) -> None:
        self.started = True
        said = {
            "content-type": content_type,
            "dg-request-id": self.request_id,
            "x-request-id": self.request_id,
            **(headers or {}),
        }
        encoded = [
            (name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in said.items()
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def say(self, data: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(
        self, status: int, content_type: str, body: bytes, headers: Headers | None = None
    ) -> None:
        await self.start(status, content_type, {"content-length": str(len(body)), **(headers or {})})
        await self.say(body, more=False)

    async def answer_json(self, body: Any, status: int = 200, headers: Headers | None = None) -> None:
        await self.answer(status, "application/json", msgspec.json.encode(body), headers)

    async def refuse(self, error: GatewayError, body: dict[str, Any]) -> None:
        headers = {"dg-error": error.sentence.encode("ascii", "replace").decode(), **error.headers}
        if error.retry_after_s is not None:
            headers["retry-after"] = str(max(1, round(error.retry_after_s)))
        if error.status == 401:
            headers["www-authenticate"] = "Token"
        await self.answer_json(body, error.status, headers)
