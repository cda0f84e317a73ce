"""The real AssemblyAI SDK, pointed at us by `api_host`."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from assemblyai.streaming.v3 import (
    StreamingClient,
    StreamingClientOptions,
    StreamingEvents,
    StreamingParameters,
)

from tests.acceptance.stack import Stack, wait_for

PACKET_S = 0.05
WITHIN_S = 60.0


@dataclass
class Heard:
    events: list[Any] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)

    def of_type(self, kind: str) -> list[Any]:
        return [event for event in self.events if event.type == kind]

    @property
    def ended(self) -> list[Any]:
        return [turn for turn in self.of_type("Turn") if turn.end_of_turn]

    @property
    def transcript(self) -> str:
        return " ".join(turn.transcript for turn in self.ended)

    def until(self, kind: str, count: int = 1) -> Any:
        return wait_for(lambda: self.of_type(kind)[count - 1 : count], WITHIN_S, kind)[0]


@contextmanager
def streaming(stack: Stack, key: str, *, token: str = "", **asked: Any) -> Iterator[tuple[Any, Heard]]:
    heard = Heard()
    options = StreamingClientOptions(
        api_host=stack.ws_url, terminate_timeout=WITHIN_S, **({"token": token} if token else {"api_key": key})
    )
    client = StreamingClient(options)
    for event in StreamingEvents:
        into = heard.errors if event is StreamingEvents.Error else heard.events
        client.on(event, lambda _, message, into=into: into.append(message))
    with warnings.catch_warnings():
        # It opens and reads a socket in ways that websockets has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        client.connect(StreamingParameters(**{"sample_rate": 16_000, **asked}))
        try:
            yield client, heard
        finally:
            client.disconnect(terminate=not heard.errors)


def send(client: Any, pcm: bytes, rate: int, *, realtime: bool = False) -> None:
    packet = int(rate * PACKET_S) * 2
    start = time.monotonic()
    for number, offset in enumerate(range(0, len(pcm), packet), start=1):
        if realtime:
            time.sleep(max(0.0, start + number * PACKET_S - time.monotonic()))
        client.stream(pcm[offset : offset + packet])
