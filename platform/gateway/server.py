"""`python -m gateway.server`: Daphne, with flow control in both directions and refusals that say why.

Daphne hands every frame to an unbounded queue and writes without asking whether anybody reads. Here a
socket is read no further while its application is behind, and `send` waits while the client does not read;
and a handshake can be refused with any status and a body (ASGI's websocket denial response).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import time
from functools import partial
from http import HTTPStatus
from typing import Any

# First, because it installs the reactor; then the application, because it sets Django up.
from daphne.server import Server  # isort: skip
from config.asgi import application  # isort: skip

from autobahn.websocket.types import ConnectionDeny
from daphne import http_protocol
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from twisted.internet import defer, reactor
from twisted.internet.error import CannotListenError
from twisted.web import http

from config import env
from gateway import process, steady, telemetry
from gateway.flow import Entrance, Inbox, Outlet
from gateway.http_protocol import Channel, Request
from metering.spool import SpoolError

log = logging.getLogger(__name__)

MAX_FRAME_BYTES = 1024 * 1024
# More than a look-up of the key and three tries at a worker may take, so that a refusal can still be said.
HANDSHAKE_S = 15
# Connections that wait to be accepted. With Twisted's 50 the kernel drops the others of a storm: they try
# again after seconds of silence, instead of hearing at once when to.
BACKLOG = 2048


class Protocol(WebSocketProtocol):  # type: ignore[misc]  # Daphne has no types
    denial: dict[str, Any] | None = None
    # A protocol error or a frame too large is answered with its close code, not with a cut connection.
    failByDrop = False
    # What was sent before the close frame may still be on its way to a slow client.
    closeHandshakeTimeout = 30

    def __init__(self) -> None:
        super().__init__()
        self.outlet = Outlet()

    def onConnect(self, request: Any) -> Any:
        if not request.headers.get("sec-websocket-protocol", "").isascii():
            raise ConnectionDeny(code=400, reason="Bad Request")  # type: ignore[no-untyped-call]
        return super().onConnect(request)

    def dataReceived(self, data: bytes) -> None:
        if hasattr(self, "handshake_deferred"):
            # Autobahn would look for another handshake in it, and gather it without bound, to handle it all
            # in one go while every other stream waits. The standard has clients wait.
            self.failHandshake("Nothing may be sent before the handshake is answered")
        else:
            super().dataReceived(data)

    def check_timeouts(self) -> None:
        inbox = getattr(self, "application_queue", None)
        if inbox is not None and inbox.paused:
            # Nothing is read at the moment, so a pong could not be either.
            self.last_ping = time.monotonic()
            self._cancelAutoPingTimeoutCall()
        super().check_timeouts()

    def onOpen(self) -> None:
        super().onOpen()
        # The HTTP channel that took the handshake is still registered; from now on the socket is ours.
        self.transport.unregisterProducer()
        self.transport.registerProducer(self.outlet, True)

    def onPing(self, payload: bytes) -> None:
        # Of several pings the last may be answered for all: nobody has us keep more for who does not read.
        self.outlet.say(partial(super().onPing, payload))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.outlet.open.set()
        # A handshake that was none never came as far as `onConnect`, and Daphne does not know of it.
        if hasattr(self, "server"):
            super().onClose(wasClean, code, reason)

    def _fail_connection(self, *arguments: Any, **named: Any) -> None:
        telemetry.protocol_errors.inc()
        super()._fail_connection(*arguments, **named)

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.http.response.start":
            self.denial = {"status": message["status"], "headers": message.get("headers", []), "body": b""}
        elif message["type"] == "websocket.http.response.body" and self.denial is not None:
            self.denial["body"] += message.get("body", b"")
            if not message.get("more_body", False):
                self._deny()
        elif self.state not in (self.STATE_OPEN, self.STATE_CONNECTING):
            pass  # the client has gone meanwhile, and cannot hear it
        elif message["type"] == "websocket.close" and self.state == self.STATE_OPEN:
            # Not `sendClose`, which allows applications 1000 and 3000 to 4999 only: Deepgram's clients know
            # 1008, 1011 and 1012. A close frame holds 123 bytes of reason.
            reason = (message.get("reason") or "").encode()[:123]
            self.sendCloseFrame(code=message.get("code") or 1000, reasonUtf8=reason)
        elif message["type"] == "websocket.accept":
            # Daphne leaves the headers out; Autobahn takes them beside the subprotocol.
            headers = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in message.get("headers", ())
            }
            self.serverAccept((message.get("subprotocol"), headers))
        else:
            super().handle_reply(message)

    def sendHttpErrorResponse(self, code: int, reason: str, responseHeaders: Any = None) -> None:
        body = b""
        headers = list(responseHeaders or [])
        if self.denial is not None:
            body = self.denial["body"]
            headers += [
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in self.denial["headers"]
            ]
        headers += [("Content-Length", str(len(body))), ("Connection", "close")]
        super().sendHttpErrorResponse(code, reason, headers)
        self.sendData(body)

    def _deny(self) -> None:
        if self.denial is None or not hasattr(self, "handshake_deferred"):
            return
        status = HTTPStatus(self.denial["status"])
        denied = ConnectionDeny(code=int(status), reason=status.phrase)  # type: ignore[no-untyped-call]
        self.handshake_deferred.errback(denied)
        del self.handshake_deferred
        self.server.protocol_disconnected(self)


class GatewayServer(Server):  # type: ignore[misc]
    """Daphne's server with our protocol, our inbox, and a drain before the applications are cancelled."""

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if scope["type"] == "websocket":
            inbox = Inbox(protocol.transport)
            # Daphne's own have been unquoted, and what was not offered as it is cannot be accepted.
            scope["subprotocols"] = list(protocol.websocket_protocols)
            scope.setdefault("extensions", {})["websocket.http.response"] = {}
            scope["inbox"] = inbox
        elif protocol.body is not None:
            inbox = protocol.body
        else:
            return super().create_application(protocol, scope)
        scope.setdefault("asgi", {"version": "3.0"})
        instance = self.application(scope=scope, receive=inbox.get, send=partial(self.handle_reply, protocol))
        if protocol not in self.connections:
            instance.close()
            return None
        self.connections[protocol]["application_instance"] = asyncio.ensure_future(instance)
        return inbox

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            await protocol.outlet.open.wait()
        elif message["type"] == "http.response.body" and protocol.body is not None:
            await protocol.readable()
        await super().handle_reply(protocol, message)

    def kill_all_applications(self) -> Any:
        drained = defer.Deferred.fromFuture(
            asyncio.ensure_future(process.current().stop(env.GATEWAY_DRAIN_SECONDS.read()))
        )
        drained.addErrback(lambda failure: log.error("drain: %s", failure.getErrorMessage()))
        parent = super().kill_all_applications
        drained.addCallback(lambda _: parent())
        return drained

    def run(self) -> None:
        # Within the loop, where a failure is logged; Twisted's own log goes nowhere.
        reactor.callWhenRunning(lambda: asyncio.get_event_loop().call_soon(process.current().start))
        # What has been imported stays for good: looking through it for garbage would hold up every stream.
        gc.collect()
        gc.freeze()
        super().run()

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        Entrance(port, reactor.callLater)

    def listen_error(self, failure: Any) -> None:
        if failure.check(CannotListenError):
            log.critical("GATEWAY_PORT: cannot listen: %s", failure.value.socketError)
        self.failed = True
        super().listen_error(failure)

    failed = False


def main() -> None:
    steady.keep_time()
    try:
        process.current()
    except SpoolError as error:
        log.critical("%s", error)
        sys.exit(1)
    host, port = env.GATEWAY_HOST.read(), env.GATEWAY_PORT.read()
    WebSocketFactory.protocol = Protocol
    http_protocol.WebRequest = Request  # what its factory makes of every request
    http.HTTPChannel = Channel  # type: ignore[misc]  # and Twisted's of every connection
    server = GatewayServer(
        application,
        endpoints=[f"tcp:port={port}:interface={host.replace(':', chr(92) + ':')}:backlog={BACKLOG}"],
        # A stream ends by its own limit; Daphne's is a net under it.
        websocket_timeout=int(env.STREAM_MAX_SECONDS.read()) + 60,
        websocket_handshake_timeout=HANDSHAKE_S,
        websocket_max_message_size=MAX_FRAME_BYTES,
        websocket_max_frame_size=MAX_FRAME_BYTES,
        # No server name: it helps nobody but an attacker.
        server_name="",
        verbosity=0,
    )
    server.run()
    # Everything that matters has been drained. An HTTP request that is still under way has a thread which
    # waits for the loop that has just ended; Python would wait for that thread for ever.
    logging.shutdown()
    sys.stderr.flush()
    os._exit(1 if server.failed else 0)


if __name__ == "__main__":
    main()
