"""What a dialect is: how one kind of client says and hears what a stream means. No I/O; one per stream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from gateway.about import About
from gateway.events import AudioReceived, ClientMessage, Close, Command
from gateway.parameters import ListenParameters


@dataclass(frozen=True)
class Change:
    """The client wants the rest of the stream with these."""

    parameters: ListenParameters


Heard: TypeAlias = AudioReceived | Command | Change


class Dialect(Protocol):
    idle_s: float | None
    """How long its clients may say nothing, where that is not as long as on `/v1/listen`."""

    def greet(self, about: About) -> Iterable[str]:
        """What is said first, right after the socket was accepted. Called once, before any `encode`."""

    def decode(self, message: str | bytes) -> Iterable[Heard]:
        """What a message of the client means, in order. Raises `BadMessage`.

        It is iterated as it is obeyed: what comes after a `Change` is asked for only when that was possible.
        """

    def encode(self, message: ClientMessage) -> Iterable[str]:
        """The text messages that say this; none when the dialect has no words for it."""

    def farewell(self, close: Close) -> Close:
        """The close frame as its clients know it."""
