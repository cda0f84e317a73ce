"""A server that speaks as much of `/v1/listen` as the client needs, told by each test how to behave."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve


def results(text: str, *, final: bool) -> str:
    return json.dumps(
        {
            "type": "Results",
            "is_final": final,
            "channel": {"alternatives": [{"transcript": text}]},
            "metadata": {"request_id": "req-1"},
        }
    )


METADATA = json.dumps({"type": "Metadata", "request_id": "req-1", "duration": 1.0})


@dataclass
class FakeServer:
    url: str = ""
    refuse: tuple[int, bytes] | None = None
    script: Callable[[FakeServer, ServerConnection], None] | None = None
    path: str = ""
    authorization: str = ""
    audio: bytearray = field(default_factory=bytearray)
    texts: list[str] = field(default_factory=list)
    enough_audio: int = 0  # bytes after which `heard` is set
    heard: threading.Event = field(default_factory=threading.Event)

    def process_request(self, _: ServerConnection, request: Request) -> Response | None:
        self.path = request.path
        self.authorization = request.headers.get("Authorization", "")
        if self.refuse is None:
            return None
        status, body = self.refuse
        headers = Headers({"Content-Length": str(len(body)), "Content-Type": "application/json"})
        return Response(status, HTTPStatus(status).phrase, headers, body)

    def handle(self, socket: ServerConnection) -> None:
        try:
            (self.script or FakeServer.converse)(self, socket)
        except ConnectionClosed:
            return

    def receive_to_the_end(self, socket: ServerConnection) -> None:
        for message in socket:
            if isinstance(message, bytes):
                self.audio += message
                if len(self.audio) >= self.enough_audio:
                    self.heard.set()
            else:
                self.texts.append(json.loads(message)["type"])
                if self.texts[-1] == "CloseStream":
                    return

    def converse(self, socket: ServerConnection) -> None:
        socket.send(results("it was", final=False))
        self.receive_to_the_end(socket)
        socket.send(results("It was.", final=True))
        socket.send(METADATA)
        socket.close(1000)


@pytest.fixture
def fake_server() -> Iterator[FakeServer]:
    fake = FakeServer()
    serving = serve(fake.handle, "127.0.0.1", 0, process_request=fake.process_request, close_timeout=0.5)
    with serving as running:
        fake.url = f"ws://127.0.0.1:{running.socket.getsockname()[1]}"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield fake
        running.shutdown()
    thread.join()
