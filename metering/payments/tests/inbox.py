"""Where the local Stripe's webhooks arrive in tests, to be handed on when and in the order a test says."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.db.models import F
from django.test import Client

from metering.models import WebhookEvent

DEADLINE_S = 20.0


class Inbox:
    def __init__(self) -> None:
        self.got: list[tuple[dict[str, Any], bytes, str]] = []
        self._come = threading.Condition()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with inbox._come:
                    inbox.got.append((json.loads(body), body, self.headers["Stripe-Signature"]))
                    inbox._come.notify_all()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def waited_for(self, kind: str, count: int = 1) -> list[tuple[dict[str, Any], bytes, str]]:
        """As many of this type, once they have come."""
        until = time.monotonic() + DEADLINE_S
        with self._come:
            while True:
                found = [one for one in self.got if one[0]["type"] == kind]
                if len(found) >= count:
                    return found
                if not self._come.wait(until - time.monotonic()) and time.monotonic() >= until:
                    raise AssertionError(f"no {kind} came; there came {[one[0]['type'] for one in self.got]}")

    def tell(self, *kinds: str) -> None:
        """Hand all that have come of these types to our address, type after type. They are due when they
        happened: the clocks of tests are not the real one."""
        for kind in kinds:
            for _, body, signature in self.waited_for(kind):
                headers = {"Stripe-Signature": signature}
                answer = Client().post("/webhooks/stripe", body, "application/json", headers=headers)
                assert answer.status_code == 200, answer.content
        WebhookEvent.objects.filter(handled_at=None).update(next_at=F("created"))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
