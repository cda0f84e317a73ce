"""Customers who talk while things break: live streams through WebSockets and recordings, of several tenants.

What is counted as sent is counted before it is sent, so nobody can ever have processed more.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

FRAME_MS, EVERY_S = 400, 0.1  # four times as fast as speech; every frame costs whoever passes it on
FRAME = b"\x00\x01" * (16 * FRAME_MS)
LIVE_MS = (2_000, 6_000)  # of one stream
RECORDED_MS = 10_000
AGAIN_S, PAUSE_S = 0.2, 2.0  # after what failed; between recordings
OPEN_S, END_S = 5.0, 20.0
PATH = "/v1/listen?encoding=linear16&sample_rate=16000"


class Load:
    """`live` streams of each tenant at a time, one after the other, and one recording."""

    def __init__(self, http_url: str, keys: dict[str, str], live: int, rng: random.Random) -> None:
        self.sent_ms: Counter[str] = Counter()  # by tenant
        self.heard: Counter[str] = Counter()  # results
        self.streams = 0
        self._http, self._keys, self._live, self._rng = http_url, keys, live, rng
        self._going = False
        self._running: Sequence[Future[None]] = ()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="load")
        self._thread.start()

    def begin(self) -> None:
        self._going = True
        every: list[Coroutine[Any, Any, None]] = []
        for tenant, key in self._keys.items():
            every += [self._talk(tenant, key, random.Random(self._rng.random())) for _ in range(self._live)]
            every.append(self._record(tenant, key))
        self._running = [asyncio.run_coroutine_threadsafe(one, self._loop) for one in every]

    def end(self) -> None:
        """No new streams; those that are open are ended as a client ends them."""
        self._going = False
        for one in self._running:
            one.result(OPEN_S + END_S + 60)

    def close(self) -> None:
        self._going = False
        for one in self._running:
            one.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _talk(self, tenant: str, key: str, rng: random.Random) -> None:
        where = "ws" + self._http.removeprefix("http") + PATH
        headers = {"Authorization": f"Token {key}"}
        while self._going:
            try:
                async with connect(
                    where, additional_headers=headers, proxy=None, open_timeout=OPEN_S, close_timeout=1
                ) as socket:
                    self.streams += 1
                    async with asyncio.timeout(END_S + LIVE_MS[1] / 1000):
                        await self._one_stream(tenant, socket, rng.randrange(*LIVE_MS))
            except (OSError, TimeoutError, WebSocketException):
                await asyncio.sleep(AGAIN_S)

    async def _one_stream(self, tenant: str, socket: ClientConnection, length_ms: int) -> None:
        listening = asyncio.create_task(self._listen(tenant, socket))
        try:
            for _ in range(length_ms // FRAME_MS):
                if not self._going or listening.done():
                    break
                self.sent_ms[tenant] += FRAME_MS
                await socket.send(FRAME)
                await asyncio.sleep(EVERY_S)
            await socket.send('{"type":"CloseStream"}')
            await listening
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, tenant: str, socket: ClientConnection) -> None:
        async for message in socket:
            if json.loads(message)["type"] == "Results":
                self.heard[tenant] += 1

    async def _record(self, tenant: str, key: str) -> None:
        body = FRAME * (RECORDED_MS // FRAME_MS)
        headers = {"Authorization": f"Token {key}"}
        async with httpx.AsyncClient(timeout=END_S) as client:
            while self._going:
                self.streams += 1
                self.sent_ms[tenant] += RECORDED_MS
                try:
                    answer = await client.post(self._http + PATH, content=body, headers=headers)
                    again = answer.status_code != 200
                except httpx.HTTPError:
                    again = True
                await self._pause(AGAIN_S if again else PAUSE_S)

    async def _pause(self, seconds: float) -> None:
        for _ in range(round(seconds / AGAIN_S)):
            if self._going:
                await asyncio.sleep(AGAIN_S)
