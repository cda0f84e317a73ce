"""The sockets: thin shells that move what a `Session` takes and gives. Nothing is decided here.

A consumer has two tasks. Daphne's messages are handled one after the other in `dispatch`, which waits while
the session's window is full, so TCP slows the client down. The pump sends what the session has to say, to
the client, the worker and the meter, whenever anything happened or a deadline passed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer

from gateway import audio, parameters, process, telemetry
from gateway.auth import header
from gateway.dialects import deepgram
from gateway.errors import BadMessage, ClientTooSlow, GatewayError, InternalError, NotFound
from gateway.events import AudioReceived, ClientMessage, Close, CloseStream, Command, Transcript, UsageRange
from gateway.link import Placement
from gateway.parameters import ListenParameters
from gateway.session import Session
from metering.events import UsageEvent
from tenants.access import KeyGrant, Scope
from wire.messages import Opened, ToGateway

log = logging.getLogger(__name__)

CLIENT_STALL_S = 30.0


class SocketConsumer(AsyncConsumer, ABC):
    """A consumer without a channel of its own: results reach it through the link, many streams at once."""

    channel_layer_alias = "none"

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

    async def refuse(self, error: GatewayError, request_id: str) -> None:
        """Answer the handshake with the error's status, and a body that says why, in Deepgram's shape."""
        telemetry.streams_refused.labels(error.code).inc()
        body = {"err_code": error.code, "err_msg": error.sentence, "request_id": request_id}
        headers = [(b"content-type", b"application/json"), (b"dg-request-id", request_id.encode())]
        headers.append((b"dg-error", error.sentence.encode("ascii", "replace")))
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


class ListenConsumer(SocketConsumer):
    """`/v1/listen`: Deepgram's live protocol."""

    grant: KeyGrant
    session: Session
    placement: Placement | None = None
    failure: GatewayError | None = None
    pump_task: asyncio.Task[None] | None = None
    finished = False
    about: deepgram.About
    parameters: ListenParameters

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # However it ends, also by an exception or when Daphne loses its patience.
            if self.pump_task is not None:
                self.session.receive_disconnect()
                self._finish(Close(1006))
                self.pump_task.cancel()

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        started = time.monotonic()
        self.house = process.current()
        self.request_id = str(uuid.uuid4())
        self.wake = asyncio.Event()
        self.room = asyncio.Event()
        try:
            subprotocol = await self._open()
        except GatewayError as error:
            await self.refuse(error, self.request_id)
        await self.send({"type": "websocket.accept", "subprotocol": subprotocol})
        telemetry.streams_opened.inc()
        telemetry.open_seconds.observe(time.monotonic() - started)
        self.pump_task = asyncio.create_task(self._pump(), name="pump")

    async def _open(self) -> str | None:
        self.house.admit()
        authenticated = await self.house.authenticator.authenticate(self.scope, Scope.LISTEN, self._address())
        self.grant = authenticated.grant
        self.parameters = parameters.parse(self.scope["query_string"])
        # Before the house and the link know the stream, because they may call at once.
        self.session = Session(
            stream=self.request_id,
            decoder=audio.decoder(self.parameters.encoding, self.parameters.sample_rate),
            limits=self.house.limits,
            interim_results=self.parameters.interim_results,
            now=time.monotonic(),
        )
        opened = await self._place()
        self.about = deepgram.About(
            request_id=self.request_id,
            region=self.house.region,
            worker=opened.worker,
            model=opened.model,
            version=opened.version,
            arch=opened.arch,
            created=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            punctuate=self.parameters.punctuate,
        )
        return authenticated.subprotocol

    async def _place(self) -> Opened:
        """Known to the house from now on: a revocation or a stop must not miss a stream that is opening."""
        self.house.admit()
        self.house.streams.add(self)
        try:
            placement = await self.house.link.open(
                self.request_id, str(self.grant.tenant_id), self.parameters.options(), self
            )
            if self.failure is not None:
                self.house.link.give_back(placement)
                raise self.failure
        except BaseException:
            self.house.streams.remove(self)
            raise
        self.placement = placement
        self.session.epoch = placement.epoch
        return placement.opened

    def _address(self) -> str:
        if self.house.trusted_proxy:
            # The last entry is the one our own proxy wrote; those before it are the client's to invent.
            forwarded = header(self.scope["headers"], b"x-forwarded-for")
            if forwarded:
                return forwarded.rpartition(",")[2].strip()[:64]
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    # ---- from the client

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        now = time.monotonic()
        data = message.get("bytes")
        if data is None:
            try:
                self.session.receive(deepgram.decode_text(message.get("text") or ""), now)
            except BadMessage as error:
                telemetry.bad_messages.inc()
                self.session.receive_bad_message(error, now)
        else:
            telemetry.audio_bytes.inc(len(data))
            # An empty frame is how Deepgram's older clients say CloseStream.
            command: Command = AudioReceived(data) if data else CloseStream()
            self.session.receive(command, now)
        self._to_worker()
        self.wake.set()
        while self.session.window_full:
            self.room.clear()
            await self.room.wait()

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        raise StopConsumer

    # ---- from the link and the house, on the event loop

    def receive_from_worker(self, item: ToGateway) -> None:
        self.session.receive_from_worker(item)
        self._woken()

    def receive_worker_lost(self) -> None:
        self.session.receive_worker_lost()
        self._woken()

    def fail(self, error: GatewayError) -> None:
        self.failure = self.failure or error
        self.session.fail(error)
        self._to_worker()
        self._to_meter()
        self._woken()

    def _woken(self) -> None:
        self.wake.set()
        self.room.set()

    # ---- to the client, the worker and the meter

    async def _pump(self) -> None:
        try:
            await self._pump_until_closed()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("stream %s: the pump failed", self.request_id)
            self.session.fail(InternalError())
            await self._say_goodbye(Close(InternalError.close_code, InternalError.code))

    async def _pump_until_closed(self) -> None:
        loop = asyncio.get_running_loop()
        alarm: asyncio.TimerHandle | None = None
        try:
            while True:
                self.session.tick(time.monotonic())
                self._to_worker()
                self._to_meter()
                while (message := self.session.next_message_to_send()) is not None:
                    if not await self._say(message):
                        # Saying so would take as long again, and so would all that waits before it.
                        self.fail(ClientTooSlow())
                        await self._say_goodbye(Close(ClientTooSlow.close_code, ClientTooSlow.code))
                        return
                self.room.set()
                if (close := self.session.close_to_send) is not None:
                    await self._say_goodbye(close)
                    return
                # The deadline only ever moves later, so an alarm that rings early costs one more turn.
                if alarm is None or alarm.when() <= loop.time():
                    alarm = loop.call_at(self.session.next_deadline(), self.wake.set)
                await self.wake.wait()
                self.wake.clear()
        finally:
            if alarm is not None:
                alarm.cancel()

    async def _say(self, message: ClientMessage) -> bool:
        """False when the client has not read for too long."""
        text = deepgram.encode(message, self.about)
        try:
            async with asyncio.timeout(CLIENT_STALL_S):
                await self.send({"type": "websocket.send", "text": text})
        except TimeoutError:
            return False
        if isinstance(message, Transcript):
            telemetry.results_sent.labels("final" if message.is_final else "partial").inc()
        return True

    async def _say_goodbye(self, close: Close) -> None:
        self._finish(close)
        await self.send({"type": "websocket.close", "code": close.code, "reason": close.reason})

    def _to_worker(self) -> None:
        if self.placement is not None and (items := self.session.items_to_send()):
            self.house.link.send(self.placement.address, items)

    def _to_meter(self) -> None:
        if usage := self.session.usage_to_record():
            self.house.usage.emit([self._usage_event(part) for part in usage])

    def _usage_event(self, part: UsageRange) -> UsageEvent:
        return UsageEvent(
            tenant=str(self.grant.tenant_id),
            project=str(self.grant.project_id),
            key=str(self.grant.key_id),
            stream=self.request_id,
            from_ms=part.from_ms,
            to_ms=part.to_ms,
            model=self.about.model,
            region=self.about.region,
            worker=self.about.worker,
            tags=self.parameters.tags,
        )

    def _finish(self, close: Close) -> None:
        """The stream is over, whoever ended it: say so to the worker, the meter and the house. Once."""
        if self.finished:
            return
        self.finished = True
        self._to_worker()
        self._to_meter()
        if self.placement is not None:
            self.house.link.release(self.placement.address, self.request_id)
        self.house.streams.remove(self)
        reason = close.reason or ("done" if close.code == 1000 else "client_left")
        telemetry.streams_closed.labels(reason).inc()
        log.info(
            "stream %s of tenant %s closed: %s, %d ms billed",
            self.request_id,
            self.grant.tenant_id,
            reason,
            self.session.billed_ms,
        )
