"""What a dialect is: how one kind of client says and hears what a stream means. No I/O; one per stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from gateway.about import About
from gateway.events import ClientMessage, Heard


class Dialect(Protocol):
    def greet(self, about: About) -> Iterable[str]:
        """What is said first, right after the socket was accepted. Called once, before any `encode`."""

    def decode(self, message: str | bytes) -> Iterable[Heard]:
        """What a message of the client means, in order. Raises `BadMessage`."""

    def encode(self, message: ClientMessage) -> Iterable[str]:
        """The text messages that say this; none when the dialect has no words for it."""
