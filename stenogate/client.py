"""One stream over `/v1/listen`: sends packets, hands every message to a callback, ends in order.

A stream outlives its connections. When one is lost, or the server asks for it, the client comes back to where
the stream stands: every final is handed on once, and no audio is left out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from stenogate import connection
from stenogate.errors import BrokenOffError, InputError, RefusedError, UnreachableError
from stenogate.feed import Feed, Layout
from stenogate.patience import Patience
from stenogate.way import Message, Way

KEEP_ALIVE_SECONDS = 4.0
SILENT_SECONDS = 60.0
# So long may a server be silent that has been asked whether it is there. One that is behind with a file reads
# the question only after the audio before it.
ANSWERS_WITHIN_S, ANSWERS_WITHIN_S_TO_A_FILE = 20.0, 120.0
LASTED_S = 10.0  # a connection that lasts so long was of use
# So much audio is on its way to the server, twice, before it has to say that it has read it.
UNREAD_MS = 10_000
MAX_REDIRECTS = 5
# What a stream is lost with for good, so that only another one can follow.
LOST_FOR_GOOD = frozenset({"resume_late", "resume_bad_token", "resume_off", "resume_unsuitable"})


@dataclass
class Outcome:
    sent_bytes: int = 0  # of the audio; what was sent twice counts once
    request_id: str = ""
    interrupted: bool = False
    finished: bool = False  # the server's Metadata came: it has processed everything
    came_back: int = 0  # so often was the stream gone on with on another connection
    started_over: int = 0  # so often was it lost, and another one begun
    input_error: InputError | None = None  # the recording broke off; what was there has been transcribed
    error_text: str = ""  # of the server's last Error message; what it means shows in how the stream closes


class CutOff(Exception):
    """The connection is lost, not the stream."""


async def transcribe(
    url: str,
    key: str,
    packets: AsyncIterator[bytes],
    on_message: Callable[[Message, str], None],
    layout: Layout,
    *,
    stop: asyncio.Event | None = None,
    live: bool = True,
    start_over: bool = False,
    chance: Random | None = None,
) -> Outcome:
    """Stream `packets` until they end or `stop` is set, then wait for what the server still has to say.

    `packets` are bare samples of that layout. `live`: they keep coming when nothing can be sent. With
    `start_over`, a stream that cannot be resumed is followed by another one, with a request id, numbers and
    times of its own, from where the last final ended.
    """
    stop = stop or asyncio.Event()
    feed, outcome = Feed(layout, live=live), Outcome()
    filling = asyncio.create_task(feed.fill(packets, stop))
    stream = _Stream(key, feed, Way(url, feed), on_message, outcome, Patience(chance or Random()), live=live)
    try:
        await stream.to_the_end(start_over=start_over)
        await filling
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
        outcome.sent_bytes, outcome.interrupted = feed.sent, stop.is_set()
        outcome.input_error = feed.error
    return outcome


class _Stream:
    def __init__(
        self,
        key: str,
        feed: Feed,
        way: Way,
        on_message: Callable[[Message, str], None],
        outcome: Outcome,
        patience: Patience,
        *,
        live: bool,
    ) -> None:
        self._key, self._feed, self._way, self._on_message = key, feed, way, on_message
        self._outcome, self._patience = outcome, patience
        self._answers_within_s = ANSWERS_WITHIN_S if live else ANSWERS_WITHIN_S_TO_A_FILE
        self._redirects = 0

    async def to_the_end(self, *, start_over: bool) -> None:
        """From one connection to the next."""
        clock = asyncio.get_running_loop().time
        while True:
            at_least_s = None
            try:
                return await self._visit()
            except CutOff as error:
                trouble = str(error)
            except UnreachableError as error:
                if not self._has_begun:
                    raise
                trouble = str(error)
                self._way.try_another()
            except RefusedError as error:
                if self._way.token and start_over and error.code in LOST_FOR_GOOD:
                    self._way.start_over()
                    self._outcome.started_over += 1
                elif not (self._has_begun and error.passes):
                    raise
                trouble, at_least_s = str(error), error.retry_after_s
            pause = self._patience.pause_s(clock(), self._way.window_s, at_least_s)
            if pause is None:
                raise BrokenOffError(f"the stream was cut off and there was no way back to it: {trouble}")
            await asyncio.sleep(pause)

    @property
    def _has_begun(self) -> bool:
        """And is worth waiting for: there is a stream to come back to, or one was lost that is to go on."""
        return bool(self._way.token or self._outcome.started_over)

    async def _visit(self) -> None:
        """One connection. Returns when the server has said all."""
        comes_back = bool(self._way.token)
        socket, taken_by = await connection.open_(
            self._way.url, self._key, answers_within_s=self._answers_within_s
        )
        loop = asyncio.get_running_loop()
        opened_at = loop.time()
        self._patience.connected()
        sender = None
        try:
            self._way.turn_to(taken_by)
            at = await self._begin(socket)
            self._outcome.came_back += comes_back
            sender = asyncio.create_task(self._send(socket, at))
            await self._receive(socket, sender)
        except ConnectionClosed as closed:
            # A sender that found the socket closed has nothing to add to the receiver's reason.
            why = connection.why_closed(closed, self._outcome.error_text, self._outcome.request_id)
            if self._may_come_back(closed):
                raise CutOff(why) from None
            raise BrokenOffError(why) from None
        finally:
            if loop.time() - opened_at >= LASTED_S:
                self._patience.got_further()
            if sender is not None:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
            await socket.close()

    async def _begin(self, socket: ClientConnection) -> int:
        """From which byte on to send."""
        headers = socket.response.headers if socket.response is not None else {}
        comes_back = bool(self._way.token)
        self._way.token = headers.get("stenogate-resume-token", self._way.token)
        from_ms = headers.get("stenogate-resume-from-ms", "" if comes_back else "0")
        if not from_ms:
            with suppress(TimeoutError):  # it may only mean to say where else the stream goes on
                await asyncio.wait_for(socket.recv(), connection.CONNECT_SECONDS)
        if not (from_ms.isascii() and from_ms.isdigit()):
            raise BrokenOffError("the server does not say from where it needs the audio; is it one of ours?")
        at = self._way.place(int(from_ms))
        if not self._feed.start <= at <= self._feed.end:
            kept = [self._feed.layout.ms(place) for place in (self._feed.start, self._feed.end)]
            raise BrokenOffError(
                f"the server needs the audio from {from_ms} ms on, and what is kept is from {kept[0]} to "
                f"{kept[1]} ms"
            )
        return at

    def _may_come_back(self, closed: ConnectionClosed) -> bool:
        end = closed.rcvd
        if end is not None and end.code == connection.ELSEWHERE and self._redirects < MAX_REDIRECTS:
            self._redirects += 1
            return self._way.turn_to(end.reason)
        return bool(self._way.token) and connection.is_cut_off(closed)

    # ---- to the server

    async def _send(self, socket: ClientConnection, at: int) -> None:
        unread: deque[Awaitable[float]] = deque()
        asked_at = at
        try:
            while (packet := await self._feed.packet(at, KEEP_ALIVE_SECONDS)) is not None:
                await socket.send(packet or '{"type":"KeepAlive"}')
                at += len(packet)
                self._feed.note_sent(at)
                if at - asked_at >= self._feed.layout.size(UNREAD_MS):
                    # All that is on its way may have to be sent again, and only so much is kept.
                    asked_at = at
                    unread.append(await socket.ping())
                    if len(unread) > 1:
                        await unread.popleft()
            await socket.send('{"type":"CloseStream"}')
        except ConnectionClosed:
            return

    # ---- from the server

    async def _receive(self, socket: ClientConnection, sender: asyncio.Task[None]) -> None:
        """Every message until the server closes. Once all is sent, one that is silent for too long is given
        up."""
        outcome = self._outcome
        while True:
            try:
                raw = await asyncio.wait_for(socket.recv(), SILENT_SECONDS)
            except TimeoutError:
                if sender.done():
                    raise BrokenOffError(
                        f"the server said nothing for {SILENT_SECONDS:.0f} s after the end of the audio"
                    ) from None
                continue
            except ConnectionClosed as closed:
                # That was its last word, whether or not its farewell got through.
                if outcome.finished and (closed.rcvd is None or closed.rcvd.code == 1000):
                    return
                raise
            message = connection.parse(raw)
            if message.get("type") == "Metadata":
                outcome.finished = True
            outcome.request_id = connection.request_id(message) or outcome.request_id
            known = self._way.last_seq
            if self._way.take(message):
                self._on_message(message, raw if isinstance(raw, str) else "")
            if self._way.last_seq > known:
                self._patience.got_further()
            if message.get("type") == "Error":
                outcome.error_text = connection.error_text(message)
