"""The real Deepgram SDK, pointed at us the way its documentation says to point it elsewhere."""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

with warnings.catch_warnings():
    # It imports what websockets has deprecated, some of it only when it is used: this loads it all.
    warnings.simplefilter("ignore", DeprecationWarning)
    from deepgram import DeepgramClient
    from deepgram.core.events import EventType
    from deepgram.environment import DeepgramClientEnvironment
    from deepgram.errors import BadRequestError as BadRequest  # noqa: F401  # for those who import this

    assert DeepgramClient(api_key="none").listen.v1

from tests.acceptance.stack import Stack

PACKET_S = 0.05


@dataclass
class Heard:
    messages: list[Any] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)
    close_code: int | None = None
    close_reason: str = ""
    closed_at: float = 0.0  # wall clock
    sent_s: float = 0.0

    def of_type(self, kind: str) -> list[Any]:
        return [message for message in self.messages if getattr(message, "type", None) == kind]

    @property
    def finals(self) -> list[Any]:
        return [message for message in self.of_type("Results") if message.is_final]

    @property
    def partials(self) -> list[Any]:
        return [message for message in self.of_type("Results") if not message.is_final]

    @property
    def transcript(self) -> str:
        return " ".join(final.channel.alternatives[0].transcript for final in self.finals)

    @property
    def words(self) -> list[Any]:
        return [word for final in self.finals for word in final.channel.alternatives[0].words]

    @property
    def request_id(self) -> str:
        return str(self.of_type("Results")[0].metadata.request_id)


@contextmanager
def recorded(stack: Stack, key: str) -> Iterator[Any]:
    """Its interface to recorded audio, with connections that are closed in the end."""
    with httpx.Client(timeout=60) as http:
        yield client(stack, key, httpx_client=http).listen.v1.media


def client(stack: Stack, key: str, **options: Any) -> DeepgramClient:
    """`key` may be an access token, which the SDK sends in another manner."""
    http, ws = stack.http_url, stack.ws_url
    where = DeepgramClientEnvironment(base=http, production=ws, agent=ws, agent_rest=http)
    name = "access_token" if key.startswith("eyJ") else "api_key"
    return DeepgramClient(environment=where, **{name: key}, **options)


@contextmanager
def listening(stack: Stack, key: str, sample_rate: int, **options: Any) -> Iterator[tuple[Any, Heard]]:
    """An open stream, its messages gathered in a thread. Leaves when the server has closed it."""
    heard = Heard()
    wanted = {"model": "default", "encoding": "linear16", "interim_results": True, **options}
    with client(stack, key).listen.v1.connect(sample_rate=sample_rate, **wanted) as socket:
        socket.on(EventType.MESSAGE, heard.messages.append)
        socket.on(EventType.ERROR, heard.errors.append)
        thread = threading.Thread(target=socket.start_listening)
        thread.start()
        try:
            yield socket, heard
        finally:
            thread.join(60)
            assert not thread.is_alive(), "the server did not close the stream"
            heard.closed_at = time.time()
            # The SDK keeps these to itself.
            heard.close_code = socket._websocket.close_code
            heard.close_reason = socket._websocket.close_reason or ""


@contextmanager
def refused(status: int, code: str) -> Iterator[None]:
    """The handshake is answered with this status and our code for it."""
    with pytest.raises(InvalidStatus) as raised:
        yield
    response = raised.value.response
    assert response.status_code == status
    body = json.loads(response.body)
    assert body["err_code"] == code
    assert body["err_msg"]
    assert response.headers["dg-request-id"] == body["request_id"]


def transcribe(stack: Stack, key: str, pcm: bytes, rate: int, *, realtime: bool, **options: Any) -> Heard:
    with listening(stack, key, rate, **options) as (socket, heard):
        send(socket, pcm, rate, realtime=realtime)
        socket.send_close_stream()
    heard.sent_s = len(pcm) / 2 / rate
    return heard


def send(socket: Any, pcm: bytes, rate: int, *, realtime: bool) -> None:
    packet = int(rate * PACKET_S) * 2
    start = time.monotonic()
    for number, offset in enumerate(range(0, len(pcm), packet), start=1):
        if realtime:
            time.sleep(max(0.0, start + number * PACKET_S - time.monotonic()))
        socket.send_media(pcm[offset : offset + packet])
