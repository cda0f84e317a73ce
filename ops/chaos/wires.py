"""Handshakes and frames written by hand, for what a WebSocket library would not send."""

from __future__ import annotations

import base64
import os
import random
import socket
from urllib.parse import urlsplit

TEXT, BINARY = 1, 2
NO_MASK = b"\0\0\0\0"  # legal, and no work
PATH = "/v1/listen?encoding=linear16&sample_rate=16000&interim_results=true"


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole frame of a client."""
    size = len(payload)
    head = bytes((0x80 | opcode, 0x80 | min(size, 126))) if size < 65_536 else bytes((0x80 | opcode, 0xFF))
    length = b"" if size < 126 else size.to_bytes(2 if size < 65_536 else 8, "big")
    return head + length + NO_MASK + payload


def connect(http_url: str, key: str) -> socket.socket:
    """An open stream. Raises `OSError` when it is refused."""
    where = urlsplit(http_url)
    made = socket.socket()
    made.settimeout(20)
    try:
        made.connect((where.hostname, where.port))
        lines = (
            f"GET {PATH} HTTP/1.1",
            f"Host: {where.netloc}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            f"Authorization: Token {key}",
        )
        made.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = made.recv(1)  # no more than the head: frames may follow at once
            if not byte:
                break
            head += byte
        if not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionRefusedError(head.partition(b"\r\n")[0].decode("latin-1") or "no answer")
    except OSError:
        made.close()
        raise
    return made


def text_that_is_none(rng: random.Random) -> bytes:
    """Text that no dialect has, where there should be audio or a message. A stream bears a few."""
    texts = (b"audio", b"{", b"[]", b'{"type":7}', b'{"type":"Results"}', b"\x00\x01", b"null", b"{" * 9999)
    return frame(TEXT, rng.choice(texts))


def audio_that_is_none(rng: random.Random) -> bytes:
    """Random bytes, of odd sizes. For linear16 they are a terrible noise."""
    return frame(BINARY, rng.randbytes(rng.choice((1, 3, 17, 641, 1999))))


def broken_frame(rng: random.Random) -> bytes:
    """What breaks the rules of WebSocket, which ends the stream."""
    kinds = (
        bytes((0x80 | BINARY, 4)) + rng.randbytes(4),  # not masked
        bytes((0xF0 | BINARY, 0x84)) + NO_MASK + bytes(4),  # reserved bits
        frame(rng.choice((3, 7, 11, 15)), bytes(4)),  # an opcode that there is not
        frame(9, bytes(200)),  # a ping that is too long
        frame(0, bytes(4)),  # the middle of nothing
        frame(TEXT, b"\xff\xfe"),  # not UTF-8
        bytes((0x80 | BINARY, 0xFF)) + (1 << 40).to_bytes(8, "big") + NO_MASK + bytes(99),  # a terabyte
    )
    return rng.choice(kinds)
