"""A customer who talks while things break, and comes back with the resume token when the line is cut.

Keeps what was heard by `seq`, so that a final that comes twice, or is missing, is found out.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from ops.chaos.recording import Recording

PACKET_MS = 50
OPEN_S, RESUME_S, END_S = 10.0, 10.0, 60.0
GIVE_UP_S = 60.0  # as long as a token is good
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0
# What it is no use to try again.
FATAL = ("resume_bad_token", "resume_foreign", "resume_late", "resume_unsuitable")


class Hopeless(Exception):
    """The stream cannot go on; the message says why."""


@dataclass
class Heard:
    request_ids: set[str] = field(default_factory=set)
    finals: dict[int, tuple[str, ...]] = field(default_factory=dict)  # by seq
    contradictions: list[str] = field(default_factory=list)
    cuts: list[str] = field(default_factory=list)  # how the line was cut, each time
    refusals: list[str] = field(default_factory=list)
    resumed: int = 0
    sent_ms: int = 0  # of the stream's own time
    ended: bool = False
    failure: str = ""
    worker: str = ""  # that spoke last
    results: list[tuple[float, int, bool]] = field(default_factory=list)  # when, until where, final

    @property
    def words(self) -> list[str]:
        return [word for seq in sorted(self.finals) for word in self.finals[seq]]

    @property
    def partials(self) -> int:
        return sum(not is_final for _, _, is_final in self.results)

    @property
    def reached_ms(self) -> int:
        return max((end for _, end, _ in self.results), default=0)

    def beyond(self, ms: int) -> float | None:
        """When it heard first of what was said after `ms`."""
        return next((at for at, end, _ in self.results if end > ms), None)

    def take(self, message: dict[str, Any]) -> None:
        if message["type"] == "Results":
            said = tuple(word["word"] for word in message["channel"]["alternatives"][0]["words"])
            end_ms = round((message["start"] + message["duration"]) * 1000)
            self.request_ids.add(message["metadata"]["request_id"])
            self.worker = message["metadata"].get("worker", self.worker)
            self.results.append((time.monotonic(), end_ms, message["is_final"]))
            if message["is_final"]:
                self._final(message["seq"], said)
        elif message["type"] == "Metadata":
            self.ended = True
        elif message["type"] == "Error":
            self.refusals.append(str(message.get("variant") or message.get("code") or "Error"))

    def _final(self, seq: int, said: tuple[str, ...]) -> None:
        if seq in self.finals:
            self.contradictions.append(f"final {seq} came twice")
        if missing := set(range(seq)) - self.finals.keys():
            self.contradictions.append(f"final {seq} came before {min(missing)}")
        self.finals[seq] = said


class Caller:
    """One stream, over as many lines as it takes; each is to the next of the addresses."""

    def __init__(self, urls: Sequence[str], key: str, recording: Recording, pace: float) -> None:
        self.heard = Heard()
        self._urls, self._key, self._recording, self._pace = urls, key, recording, pace
        self._token = ""
        self._lines = 0
        self._began = 0.0
        self._resumed: asyncio.Future[int]

    async def call(self) -> Heard:
        """All of it. Never raises for what the service does."""
        try:
            while not self.heard.ended:
                async with await self._line() as socket:
                    await self._talk(socket)
                if not self.heard.ended:
                    self.heard.cuts.append(f"{socket.close_code} {socket.close_reason}".strip())
                    if not self._token:
                        raise Hopeless(f"cut off ({self.heard.cuts[-1]}) without a resume token")
        except Hopeless as error:
            self.heard.failure = str(error)
        return self.heard

    # ---- the line

    async def _line(self) -> ClientConnection:
        deadline, wait_s = time.monotonic() + GIVE_UP_S, FIRST_WAIT_S
        said = ""
        while time.monotonic() < deadline:
            # It begins at the first of them, whatever that takes: that is the one that will be broken.
            self._lines += bool(self._token)
            base = self._urls[self._lines % len(self._urls)]
            url = "ws" + base.removeprefix("http").removeprefix("ws") + "/v1/listen?" + self._query()
            try:
                return await connect(
                    url, additional_headers={"Authorization": f"Token {self._key}"}, proxy=None,
                    open_timeout=OPEN_S, close_timeout=2, max_queue=256,
                )  # fmt: skip
            except InvalidStatus as refused:
                said = self._refusal(refused)
            except (OSError, TimeoutError, WebSocketException) as error:
                said = type(error).__name__
            # Not all at the same moment, and less and less often.
            await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        raise Hopeless(f"nobody let it in for {GIVE_UP_S:g} s: {said}")

    def _refusal(self, refused: InvalidStatus) -> str:
        try:
            code = str(json.loads(refused.response.body or b"")["err_code"])
        except (ValueError, KeyError):
            code = str(refused.response.status_code)
        self.heard.refusals.append(code)
        if code in FATAL or (refused.response.status_code < 500 and not self._token):
            raise Hopeless(f"refused: {code}")
        return code

    def _query(self) -> str:
        wanted = {
            "encoding": "linear16", "sample_rate": str(self._recording.rate), "interim_results": "true",
            "resume": "true",
        }  # fmt: skip
        if self._token:
            wanted |= {"resume_token": self._token, "last_seq": str(max(self.heard.finals, default=-1))}
        return urlencode(wanted)

    # ---- on the line

    async def _talk(self, socket: ClientConnection) -> None:
        self._resumed = asyncio.get_running_loop().create_future()
        comes_back = bool(self._token)  # that of the first line may come before anything is said on it
        listening = asyncio.create_task(self._listen(socket))
        try:
            speaking = asyncio.create_task(self._speak(socket, comes_back=comes_back))
            await asyncio.wait((listening, speaking), return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():  # all is said
                await speaking
                await asyncio.wait((listening,), timeout=END_S)
            if not listening.done():
                raise Hopeless(f"no end came within {END_S:g} s")
            speaking.cancel()
            await asyncio.gather(listening, speaking, return_exceptions=True)
        finally:
            listening.cancel()

    async def _listen(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for text in socket:
                message = json.loads(text)
                if message["type"] == "Resume":
                    self._token = message["resume_token"]
                    if not self._resumed.done():
                        self._resumed.set_result(message["resume_from_ms"])
                elif token := message.get("resume_token"):
                    self._token = token
                self.heard.take(message)

    async def _speak(self, socket: ClientConnection, *, comes_back: bool) -> None:
        with suppress(ConnectionClosed, TimeoutError):
            await self._say_the_rest(socket, comes_back=comes_back)

    async def _say_the_rest(self, socket: ClientConnection, *, comes_back: bool) -> None:
        at_ms = 0
        if comes_back:
            async with asyncio.timeout(RESUME_S):
                at_ms = await self._resumed
            self.heard.resumed += 1
        else:
            self._began = time.monotonic()
        while at_ms < self._recording.ms:
            until_ms = min(at_ms + PACKET_MS, self._recording.ms)
            # When it would have been spoken; what is late, at once.
            if (wait := self._began + until_ms / 1000 / self._pace - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            await socket.send(self._recording.piece(at_ms, until_ms))
            at_ms = until_ms
            self.heard.sent_ms = max(self.heard.sent_ms, at_ms)
        await socket.send('{"type":"CloseStream"}')
