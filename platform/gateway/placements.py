"""Whose a stream is, where it lives, and who hears of it: what the link and those who use it speak about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from wire.messages import Opened, ToGateway


class Receiver(Protocol):
    """A stream's consumer, as the link sees it. Called on the event loop; must not block or raise."""

    def receive_from_worker(self, item: ToGateway) -> None: ...

    def receive_worker_lost(self, stream: str) -> None: ...

    def receive_worker_leaving(self, stream: str) -> None:
        """The worker takes no new streams and would be rid of this one, if there is room elsewhere."""

    def stalled(self, stream: str, now: float) -> bool:
        """Whether the worker does nothing for the stream, though it should. Asked twice a second."""


@dataclass(frozen=True)
class Owner:
    """Whose a stream is, as the worker is to note it."""

    tenant: str
    project: str
    key: str
    tags: tuple[str, ...] = ()


@dataclass
class Placement:
    """Where a stream lives: on which worker, in which epoch."""

    stream: str
    epoch: int
    address: str
    opened: Opened
