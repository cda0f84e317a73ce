"""HTTP around it all: Stripe's interface, `/_control/` and the pages for people. On the loopback only."""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
import sys
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from ops.stripe import billing, control, pages, webhooks
from ops.stripe.api import Answer, Api, Asked
from ops.stripe.errors import Refusal
from ops.stripe.faults import Reset
from ops.stripe.store import Store
from ops.stripe.world import World

MAX_BODY = 1 << 20
TURN_EVERY_S = 0.5


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, file: Path | str, webhook: dict[str, str] | None = None) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.base_url = f"http://127.0.0.1:{self.server_address[1]}"
        self.world = World(Store(file), self.base_url)
        self.api = Api(self.world)
        self.webhook = webhook or {}
        self.ending = threading.Event()
        with self.world.store.transaction():
            if self.webhook:
                self.world.store.set("webhook", self.webhook)

    def begin(self) -> list[threading.Thread]:
        """What goes on beside the requests."""
        threads = [
            threading.Thread(target=webhooks.run, args=(self.world.store, self.ending), daemon=True),
            threading.Thread(target=self._turn, daemon=True),
        ]
        for thread in threads:
            thread.start()
        return threads

    def _turn(self) -> None:
        while not self.ending.wait(TURN_EVERY_S):
            try:
                with self.world.store.transaction():
                    billing.turn(self.world)
            except Exception as error:
                self.note(error)

    def note(self, error: Exception) -> None:
        """A mistake of ours: it is in the log, and fails the test that it happens in."""
        traceback.print_exception(error)
        store = self.world.store
        with store.transaction():
            store.set(
                "broken", [*store.setting("broken", [])[-9:], f"{type(error).__name__}: {error}"[:1000]]
            )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "nginx", ""
    disable_nagle_algorithm = True
    timeout = 600
    server: Server

    def do_GET(self) -> None:
        self._any()

    def do_POST(self) -> None:
        self._any()

    def do_DELETE(self) -> None:
        self._any()

    def _any(self) -> None:
        began = time.monotonic()
        parts = urlsplit(self.path)
        length = self.headers.get("Content-Length") or "0"
        if not length.isascii() or not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True
            self._json(Answer(413, Refusal("The request is too large.").body()))
            return
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, parts.path, parts.query, body, headers)
        status = 0
        try:
            if parts.path == pages.FIRST or parts.path.startswith(pages.PLACES):
                status = self._page(asked)
            else:
                status = self._json(self._answer(asked))
        except Reset:
            self._reset()
        except Refusal as refusal:
            status = self._json(Answer(refusal.status, refusal.body()))
        except Exception as error:
            self.server.note(error)
            mistake = Refusal("A mistake in the local Stripe; see its log.", kind="api_error")
            status = self._json(Answer(500, mistake.body()))
        if status != 200 or not parts.path.startswith("/_control/"):
            took = (time.monotonic() - began) * 1000
            print(f"{self.command} {parts.path} {status} {took:.0f} ms", file=sys.stderr, flush=True)

    def _answer(self, asked: Asked) -> Answer:
        if not asked.path.startswith("/_control/"):
            return self.server.api.answer(asked)
        if not ipaddress.ip_address(self.client_address[0]).is_loopback:
            raise Refusal("Only from this machine.", status=403)
        return control.answer(self.server.world, asked, self.server.webhook)

    def _json(self, answer: Answer) -> int:
        body = json.dumps(answer.body).encode()
        return self._send(answer.status, "application/json", body, answer.headers)

    def _page(self, asked: Asked) -> int:
        status, text, headers = pages.answer(self.server.world, asked)
        return self._send(status, "text/html; charset=utf-8", text.encode(), headers)

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str]) -> int:
        try:
            self.send_response(status)
            for name, value in {**headers, "Content-Type": kind, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # whoever asked has gone, a timeout maybe
            self.close_connection = True
        return status

    def _reset(self) -> None:
        # Linger of no time: the kernel says RST rather than FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Requests are logged above, without their query: names of customers are in it."""
