"""HTTP requests over Daphne: bodies that are bounded, or handed on as they come, and answers that wait.

Daphne starts an application when the whole body is there, which Twisted has put on the disk. For recorded
audio the application starts as soon as the headers are: it refuses before a byte of the body is read, takes
the body at its own pace (TCP slows the client down meanwhile), and hears when the client leaves.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from io import BytesIO
from typing import Any

from daphne.http_protocol import WebRequest
from twisted.web import http

from gateway import problem
from gateway.body_errors import BodyTooLarge
from gateway.flow import Inbox, Outlet

MAX_BODY_BYTES = 4 * 1024 * 1024
# What comes with POST here is handed on as it comes; every other body is bounded by the above.
STREAMED_PATHS = frozenset({b"/v1/listen", b"/v1/audio/transcriptions", b"/v1/audio/translations"})
# A client that does not read its answer for so long is gone.
STALL_S = 30.0
# A client that is answered before it has sent everything may go on sending for so long: cutting it off at
# once would destroy the answer on its way, because the network resets what is closed with data unread.
LINGER_S = 10.0


def _too_large() -> bytes:
    """A whole answer: there is no application yet that could make one."""
    body = json.dumps(problem.body(BodyTooLarge(), str(uuid.uuid4()))).encode()
    head = [
        "HTTP/1.1 413 Content Too Large",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Body(Inbox):
    """The application's queue of one request whose body is still coming."""

    def __init__(self, transport: Any, invite: Callable[[], None] | None) -> None:
        """`invite` is called when the application wants the body, to tell a client that waits for it."""
        super().__init__(transport)
        self.complete = False
        self._invite = invite

    def add(self, data: bytes) -> None:
        super().put_nowait({"type": "http.request", "body": data, "more_body": True})

    def end(self) -> None:
        self.complete = True
        super().put_nowait({"type": "http.request", "body": b"", "more_body": False})

    def put_nowait(self, item: dict[str, Any]) -> None:
        # Daphne believes that it has the body, and that it is empty.
        if item["type"] != "http.request":
            super().put_nowait(item)

    async def get(self) -> dict[str, Any]:
        if (invite := self._invite) is not None:
            self._invite = None
            invite()
        return await super().get()


class Channel(http.HTTPChannel):
    """A connection. Twisted gives a client time for every line; here it is for the whole of a request."""

    def resetTimeout(self) -> None:
        """Nothing: who sends a byte now and then would be here for hours, and so would thousands of them."""


class Request(WebRequest):  # type: ignore[misc]  # Daphne has no types
    """An HTTP request whose body is bounded: Twisted would put any amount from anybody on the disk."""

    body: Body | None = None
    body_bytes = 0
    lingering: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Django reads forms. Twisted would too, and answer a malformed one with a bare 400.
        super().__init__(*args, parsePOSTFormSubmission=False, **kwargs)
        self.outlet = Outlet()

    # ---- from the client

    def gotLength(self, length: int | None) -> None:
        """The headers are there."""
        channel = self.channel
        # Daphne would believe anybody who says where in the tree of addresses it is.
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")
        if not self._is_streamed(channel._command, channel._path):
            super().gotLength(length)
            return
        self.content = BytesIO()  # Twisted and Daphne look into it, and find nothing
        # From here on it is the application that loses its patience.
        channel._savedTimeOut = channel.setTimeout(None)
        invite = None
        if self.getHeader(b"expect") and channel._version == b"HTTP/1.1":
            # Or Twisted would invite the body before anybody has looked at the headers.
            self.requestHeaders.removeHeader(b"Expect")
            invite = self._invite
        self.body = Body(self.transport, invite)
        super().requestReceived(channel._command, channel._path, channel._version)

    def _is_streamed(self, command: bytes, path: bytes) -> bool:
        return (
            command == b"POST"
            and path.split(b"?", 1)[0] in STREAMED_PATHS
            # Some clients offer HTTP/2 with every request, and are content when it is not taken.
            and self.requestHeaders.getRawHeaders(b"Upgrade", [b""])[0].lower() != b"websocket"
        )

    def _invite(self) -> None:
        if self.channel is not None and not self._response_started:
            self.channel._send100Continue()

    def handleContentChunk(self, data: bytes) -> None:
        if self.body is not None:
            if self.lingering is None:
                self.body.add(data)
            return
        self.body_bytes += len(data)
        if self.body_bytes <= MAX_BODY_BYTES:
            super().handleContentChunk(data)
        elif self.body_bytes - len(data) <= MAX_BODY_BYTES:
            self.channel.transport.write(_too_large())
            self.channel.loseConnection()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The whole body is there."""
        if self.body is None:
            super().requestReceived(command, path, version)
        elif self.lingering is not None:
            self.channel.loseConnection()
        else:
            self.body.end()

    def connectionLost(self, reason: Any) -> None:
        self.outlet.open.set()
        self.producer = None
        if self.lingering is None:
            super().connectionLost(reason)
            return
        # Daphne has been told already.
        if self.lingering.active():
            self.lingering.cancel()
        http.Request.connectionLost(self, reason)  # type: ignore[no-untyped-call]

    # ---- to the client

    async def readable(self) -> None:
        """Returns when the client reads, or is given up."""
        try:
            async with asyncio.timeout(STALL_S):
                await self.outlet.open.wait()
        except TimeoutError:
            self.cut()

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and self.body is not None and self.channel is not None:
            if not self.body.complete:
                self.responseHeaders.setRawHeaders(b"Connection", [b"close"])
            self.registerProducer(self.outlet, True)
        super().handle_reply(message)

    def finish(self) -> None:
        if self.producer is not None:
            self.unregisterProducer()
        if self.body is None or self.body.complete:
            super().finish()
        else:
            self._finish_early(self.channel)

    def _finish_early(self, channel: Any) -> None:
        """Say the end of the answer and close our direction only; what still comes is thrown away."""
        if self.application_queue is not None:
            self.send_disconnect()
        if not self.startedWriting:
            self.write(b"")
        if self.chunked:
            channel.write(b"0\r\n\r\n")
        self.finished = 1
        self.server.protocol_disconnected(self)
        channel.persistent = False
        self.lingering = channel.callLater(LINGER_S, self.cut)
        self.transport.unregisterProducer()
        self.transport.loseWriteConnection()
        self.transport.resumeProducing()

    def handle_exception(self, exception: BaseException) -> None:
        if self._response_started:
            self.cut()  # there is no other way left to say that it went wrong
        else:
            super().handle_exception(exception)

    def cut(self) -> None:
        if self.channel is not None:
            self.channel.transport.abortConnection()
