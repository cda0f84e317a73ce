"""The sockets: thin shells that move what a `Stream` takes and gives. Nothing is decided here.

A consumer has two tasks. Daphne's messages are handled one after the other in `dispatch`, which waits while
the stream has no room, so TCP slows the client down. The pump sends what the stream has to say whenever
anything happened or a deadline passed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer

from gateway import parameters, process, region_ticket, telemetry
from gateway.auth import Credentials, header
from gateway.dialects.base import Change, Dialect
from gateway.dialects.deepgram import Deepgram
from gateway.errors import (
    BadMessage,
    BadParameter,
    ClientTooSlow,
    GatewayError,
    InternalError,
    NotFound,
)
from gateway.events import AudioReceived, ClientMessage, Close
from gateway.parameters import ListenParameters
from gateway.region_errors import RegionElsewhere
from gateway.resume.visit import DONE
from gateway.stream import Stream
from tenants.access import Scope

log = logging.getLogger(__name__)

CLIENT_STALL_S = 30.0


class SocketConsumer(AsyncConsumer, ABC):
    """A consumer without a channel of its own: results reach it through the link, many streams at once."""

    channel_layer_alias = "none"
    subprotocol: str | None = None  # to be echoed

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        # Not the inherited one, which makes a task for every message so as to listen to a channel as well:
        # measured, a seventh of what a packet costs.
        self.scope, self.base_send = scope, send
        with suppress(StopConsumer):
            while True:
                await self.dispatch(await receive())

    async def dispatch(self, message: dict[str, Any]) -> None:
        # Not the inherited one, which looks for stale database connections before every message.
        handlers = {
            "websocket.connect": self.websocket_connect,
            "websocket.receive": self.websocket_receive,
            "websocket.disconnect": self.websocket_disconnect,
        }
        await handlers[message["type"]](message)

    @abstractmethod
    async def websocket_connect(self, message: dict[str, Any]) -> None: ...

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        """Nothing: whoever was refused has nothing more to say."""

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        raise StopConsumer

    def refusal(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        """The body that says why the handshake is refused: Deepgram's."""
        return {"err_code": error.code, "err_msg": error.sentence, "request_id": request_id}

    async def refuse(self, error: GatewayError, request_id: str) -> None:
        """Answer the handshake with the error's status, and a body that says why."""
        telemetry.streams_refused.labels(error.code).inc()
        if isinstance(error, RegionElsewhere) and error.by_close:
            await self.send({"type": "websocket.accept", "subprotocol": self.subprotocol})
            await self.send({"type": "websocket.close", "code": error.close_code, "reason": error.address})
            raise StopConsumer
        body = {**self.refusal(error, request_id), **error.more}
        headers = [(b"content-type", b"application/json"), (b"dg-request-id", request_id.encode())]
        headers.append((b"dg-error", error.sentence.encode("ascii", "replace")))
        headers += [(name.encode(), value.encode("latin-1")) for name, value in error.headers.items()]
        if error.retry_after_s is not None:
            headers.append((b"retry-after", str(max(1, round(error.retry_after_s))).encode()))
        if error.status == 401:
            headers.append((b"www-authenticate", b"Token"))
        await self.send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
        await self.send({"type": "websocket.http.response.body", "body": json.dumps(body).encode()})
        raise StopConsumer


class UnknownPathConsumer(SocketConsumer):
    async def websocket_connect(self, message: dict[str, Any]) -> None:
        await self.refuse(NotFound(), uuid.uuid4().hex)


class StreamConsumer(SocketConsumer):
    """A socket that is one stream, in whatever dialect."""

    path: str  # for the request log
    resumes = False  # whether the dialect has words for coming back
    stream: Stream
    dialect: Dialect
    pump_task: asyncio.Task[None] | None = None

    @abstractmethod
    def understand(self, scope: Mapping[str, Any]) -> tuple[ListenParameters, Dialect]:
        """What the handshake asks for. Raises `BadParameter`."""

    def credentials(self, scope: Mapping[str, Any]) -> Credentials | None:
        """The key of a handshake that has it where Deepgram's clients do not."""
        return None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # However it ends, also by an exception or when Daphne loses its patience.
            if self.pump_task is not None:
                self.stream.leave()
                self.pump_task.cancel()

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        started = time.monotonic()
        request_id = str(uuid.uuid4())
        try:
            with process.current().openings.handshake():
                subprotocol = await self._open(request_id)
        except GatewayError as error:
            await self.refuse(error, request_id)
        accept = {"type": "websocket.accept", "subprotocol": subprotocol, "headers": self._headers()}
        await self.send(accept)
        telemetry.streams_opened.inc()
        telemetry.open_seconds.observe(time.monotonic() - started)
        self.pump_task = asyncio.create_task(self._pump(), name="pump")
        inbox: Any = self.scope.get("inbox")
        if inbox is not None:
            inbox.when_gone = self._gone

    def _headers(self) -> list[tuple[bytes, bytes]]:
        headers = [(b"dg-request-id", self.stream.id.encode())]
        if (visit := self.stream.visit) is not None:
            headers.append((b"stenogate-resume-token", visit.token(visit.mark()).encode()))
            headers.append((b"stenogate-resume-from-ms", str(visit.from_ms).encode()))
        return headers

    def _gone(self, code: int) -> None:
        """Not only when all that the client sent before it left has been handled: nobody waits for that."""
        self.stream.leave(code)
        self.stream.room.set()

    async def _open(self, request_id: str) -> str | None:
        house = process.current()
        house.admit()
        address = client_address(self.scope, trusted_proxy=house.trusted_proxy)
        authenticated = await house.authenticator.authenticate(
            self.scope,
            Scope.LISTEN,
            address,
            offered=self.credentials(self.scope) or region_ticket.offered(self.scope),
        )
        self.subprotocol = authenticated.subprotocol
        house.regional.check(self.scope, authenticated)
        parameters, self.dialect = self.understand(self.scope)
        idle_s = self.dialect.idle_s
        limits = house.limits if idle_s is None else replace(house.limits, idle_s=idle_s)
        resumption = await house.resume(parameters, authenticated.grant) if self.resumes else None
        try:
            self.stream = Stream(
                house,
                authenticated.grant,
                parameters,
                request_id if resumption is None else resumption.stream,
                path=self.path,
                limits=limits,
                resumes=self.resumes and house.may_resume(parameters, authenticated.grant),
                resumption=resumption,
            )
            await self.stream.open()
        except BaseException:
            if resumption is not None:
                house.give_back(resumption)
            raise
        return authenticated.subprotocol

    # ---- from the client

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        data = message.get("bytes")
        try:
            for one in self.dialect.decode(message.get("text") or "" if data is None else data):
                if isinstance(one, AudioReceived):
                    await self.stream.hear(one.data)
                elif isinstance(one, Change):
                    await self.stream.change(one.parameters)
                else:
                    await self.stream.obey(one)
        except (BadMessage, BadParameter) as error:
            self.stream.complain(error)
        except GatewayError as error:
            self.stream.fail(error)

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        if self.pump_task is not None:
            self.stream.leave(message.get("code") or 1006)  # it may have left before anybody listened for it
        await super().websocket_disconnect(message)

    # ---- to the client

    async def _pump(self) -> None:
        try:
            await self._pump_until_closed()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("stream %s: the pump failed", self.stream.id)
            self.stream.fail(InternalError())
            await self._say_goodbye(Close(InternalError.close_code, InternalError.code))

    async def _pump_until_closed(self) -> None:
        stream = self.stream
        for text in self.dialect.greet(stream.about):
            await self.send({"type": "websocket.send", "text": text})
        loop = asyncio.get_running_loop()
        alarm: asyncio.TimerHandle | None = None
        try:
            while True:
                stream.tick()
                while (message := await stream.message()) is not None:
                    if not await self._say(message):
                        # Saying so would take as long again, and so would all that waits before it.
                        stream.fail(ClientTooSlow())
                        await self._say_goodbye(Close(ClientTooSlow.close_code, ClientTooSlow.code))
                        return
                stream.room.set()
                if (close := stream.session.close_to_send) is not None:
                    await self._say_goodbye(close)
                    return
                # The deadline moves later with all that comes, so an alarm that rings early costs one more
                # turn; sooner only when the stream is wound up.
                due = stream.session.next_deadline()
                if alarm is None or alarm.when() <= loop.time() or alarm.when() > due:
                    if alarm is not None:
                        alarm.cancel()
                    alarm = loop.call_at(due, stream.wake.set)
                await stream.wake.wait()
                stream.wake.clear()
        finally:
            if alarm is not None:
                alarm.cancel()

    async def _say(self, message: ClientMessage) -> bool:
        """False when the client has not read for too long."""
        try:
            async with asyncio.timeout(CLIENT_STALL_S):
                for text in self.dialect.encode(message):
                    await self.send({"type": "websocket.send", "text": text})
        except TimeoutError:
            return False
        return True

    async def _say_goodbye(self, close: Close) -> None:
        # The last words may get lost. Whoever can come back for them is done when it closes the socket, too.
        if self.stream.visit is None or close.code != DONE:
            self.stream.finish(close)
        close = self.dialect.farewell(close)
        await self.send({"type": "websocket.close", "code": close.code, "reason": close.reason})


class ListenConsumer(StreamConsumer):
    """`/v1/listen`: Deepgram's live protocol."""

    path = "/v1/listen"
    resumes = True

    def understand(self, scope: Mapping[str, Any]) -> tuple[ListenParameters, Dialect]:
        wanted = parameters.parse(scope["query_string"])
        return wanted, Deepgram(wanted)


def client_address(scope: Mapping[str, Any], *, trusted_proxy: bool) -> str:
    if trusted_proxy:
        # The last entry is the one our own proxy wrote; those before it are the client's to invent.
        forwarded = header(scope["headers"], b"x-forwarded-for")
        if forwarded:
            return forwarded.rpartition(",")[2].strip()[:64]
    client = scope.get("client")
    return str(client[0]) if client else ""
