"""The worker's own small HTTP server: `/healthz` for whoever waits for it, `/metrics` for Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

READ_TIMEOUT_S = 5.0
MAX_HEADER_BYTES = 16 * 1024
TEXT = "text/plain; charset=utf-8"

Parts = Mapping[str, str | None]  # what is wrong with each part; None: nothing


async def serve(
    host: str, port: int, parts: Callable[[], Parts], metrics: Callable[[], bytes]
) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            OSError, TimeoutError, asyncio.LimitOverrunError, asyncio.IncompleteReadError
        ):
            async with asyncio.timeout(READ_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                status, kind, body = respond(head, parts, metrics)
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                    "Connection: close\r\n\r\n".encode("ascii")
                )
                if not head.startswith(b"HEAD "):
                    writer.write(body)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    return await asyncio.start_server(answer, host, port, limit=MAX_HEADER_BYTES)


def respond(head: bytes, parts: Callable[[], Parts], metrics: Callable[[], bytes]) -> tuple[str, str, bytes]:
    """Status, content type and body for a request's head."""
    line = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(line) != 3 or not line[2].startswith("HTTP/1."):
        return "400 Bad Request", TEXT, b"this is not an HTTP/1 request\n"
    method, target, _ = line
    if method not in ("GET", "HEAD"):
        return "405 Method Not Allowed", TEXT, b"only GET and HEAD\n"
    path = target.partition("?")[0]
    if path == "/metrics":
        return "200 OK", "text/plain; version=0.0.4; charset=utf-8", metrics()
    if path == "/healthz":
        return healthz(parts())
    return "404 Not Found", TEXT, b"there are /healthz and /metrics\n"


def healthz(parts: Parts) -> tuple[str, str, bytes]:
    lines = [f"{part}: {wrong or 'ok'}\n" for part, wrong in parts.items()]
    status = "503 Service Unavailable" if any(parts.values()) else "200 OK"
    return status, TEXT, "".join(lines).encode()
