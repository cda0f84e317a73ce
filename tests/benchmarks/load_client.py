"""A WebSocket client that costs next to nothing, so that one core can load a server on the other.

Frames are made once and sent as they are (masked with zeros, which is legal and needs no work); of what
comes back only frame borders are looked at, and text is handed on unparsed.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Callable

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
NO_MASK = b"\0\0\0\0"
HANDSHAKE_S = 30.0


class Refused(Exception):
    """The handshake was not answered with 101."""

    head = ""  # of the answer, if there was one


def frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65_536:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + NO_MASK + payload


CLOSE_STREAM, KEEP_ALIVE = frame(TEXT, b'{"type":"CloseStream"}'), frame(TEXT, b'{"type":"KeepAlive"}')


class Socket(asyncio.Protocol):
    """`on_text(received, payload)` is called for every text frame; `on_binary()` for every binary one."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._buffer = bytearray()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.writable = asyncio.Event()
        self.writable.set()
        self.on_text: Callable[[float, bytes], None] = lambda received, payload: None
        self.on_binary: Callable[[], None] = lambda: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def send(self, frames: bytes) -> None:
        self._transport.write(frames)

    def hang_up(self) -> None:
        self._transport.close()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.writable.set()
        if not self.opened.done():
            self.opened.set_exception(Refused("the connection was closed"))
        if not self.closed.done():
            self.closed.set_result(1006)

    def data_received(self, data: bytes) -> None:
        received = time.perf_counter()
        self._buffer += data
        if not self.opened.done() and not self._open():
            return
        while self._take(received):
            pass

    def _open(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        if b" 101 " in head.partition(b"\r\n")[0]:
            self.opened.set_result(None)
            return True
        refused = Refused(head.partition(b"\r\n")[0].decode("latin-1"))
        refused.head = head.decode("latin-1")
        self.opened.set_exception(refused)
        self._transport.close()
        return False

    def _take(self, received: float) -> bool:
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        opcode, size, start = buffer[0] & 15, buffer[1] & 127, 2
        if size == 126:
            size, start = int.from_bytes(buffer[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(buffer[2:10], "big"), 10
        if len(buffer) < start + size:
            return False
        if opcode == BINARY:
            self.on_binary()
        elif opcode == TEXT:
            self.on_text(received, bytes(buffer[start : start + size]))
        elif opcode == PING:
            self.send(frame(PONG, bytes(buffer[start : start + size])))
        elif opcode == CLOSE and not self.closed.done():
            self.closed.set_result(int.from_bytes(buffer[start : start + 2], "big"))
            self.send(frame(CLOSE, bytes(buffer[start : start + size])))
        del buffer[: start + size]
        return True


async def connect(host: str, port: int, path: str, key: str = "") -> Socket:
    nonce = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {nonce}",
        "Sec-WebSocket-Version: 13",
        *([f"Authorization: Token {key}"] if key else []),
    ]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(lambda: Socket(request), host, port)
    async with asyncio.timeout(HANDSHAKE_S):
        await socket.opened
    return socket
