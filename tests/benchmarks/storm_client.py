"""Clients that all come at the same moment and do as they are told. Of a process of its own:
`python -m tests.benchmarks.storm_client HOST PORT CLIENTS SECONDS`, with the key on its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.load_client import BINARY, CLOSE_STREAM, Refused, Socket, connect, frame

PATH = "/v1/listen?encoding=linear16&sample_rate=16000"
SPEAKS_S = 0.5
PIECE = frame(BINARY, bytes(int(2 * 16_000 * SPEAKS_S)))
HANG_UP_S = 20.0


@dataclass(frozen=True)
class Answer:
    socket: Socket | None
    at: float
    status: int = 101
    says: str = ""
    retry_after_s: int = 0


async def knock(host: str, port: int, key: str) -> Answer:
    """What a handshake is answered. Raises `OSError`, `TimeoutError` or `Refused` where it is not."""
    try:
        socket = await connect(host, port, PATH, key)
    except Refused as refused:
        if not refused.head:
            raise
        first, *lines = refused.head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return Answer(
            None, time.monotonic(), int(first.split()[1]), headers["dg-error"], int(headers["retry-after"])
        )
    return Answer(socket, time.monotonic())


async def storm(host: str, port: int, key: str, clients: int, seconds: float) -> dict[str, Any]:
    """Each comes, waits as it is told, comes again, and speaks once it is in. What became of them."""
    began = time.monotonic()
    until = began + seconds
    said: Counter[str] = Counter()
    let_in: list[float] = []

    async def client() -> None:
        while time.monotonic() < until:
            try:
                answer = await knock(host, port, key)
            except (OSError, TimeoutError, Refused) as error:
                said[f"no answer: {type(error).__name__}"] += 1
                return
            if answer.socket is not None:
                let_in.append(answer.at - began)
                await speak(answer.socket)
                return
            said[f"{answer.status} {answer.says.partition('.')[0]}"] += 1
            if answer.at + answer.retry_after_s > until:
                return
            await asyncio.sleep(answer.retry_after_s)

    async def speak(socket: Socket) -> None:
        while time.monotonic() < until and not socket.closed.done():
            socket.send(PIECE)
            await asyncio.sleep(SPEAKS_S)
        socket.send(CLOSE_STREAM)
        try:
            async with asyncio.timeout(HANG_UP_S):
                said[f"closed with {await socket.closed}"] += 1
        except TimeoutError:
            said["never closed"] += 1
        socket.hang_up()

    await asyncio.gather(*(client() for _ in range(clients)))
    return {
        "let_in": len(let_in),
        "last_let_in_s": round(max(let_in, default=0.0), 2),
        "said": dict(said.most_common()),
    }


if __name__ == "__main__":
    host, port, clients, seconds = sys.argv[1:]
    key = sys.stdin.readline().strip()
    print(json.dumps(asyncio.run(storm(host, int(port), key, int(clients), float(seconds)))))
