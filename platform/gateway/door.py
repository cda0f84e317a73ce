"""What a stream and the door that lets it in know of each other."""

from __future__ import annotations

from typing import Protocol

from gateway.errors import GatewayError, Unavailable
from tenants.access import KeyGrant


class Overloaded(Unavailable):
    """More streams are opening than can be served in time. Try again after the time in Retry-After."""

    code = "overloaded"


class Holder(Protocol):
    """Who wants in: a stream."""

    id: str
    grant: KeyGrant

    @property
    def processed_ms(self) -> int:
        """Of all its channels together, as it is billed."""

    def wind_up(self, error: GatewayError) -> bool:
        """End it by name, with nothing lost. False when that is under way already."""


class Door(Protocol):
    def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def enter(self, stream: Holder, counted_ms: int = 0) -> None:
        """Take a place for the stream, or raise the refusal."""

    def hand_over(self, stream: Holder) -> None:
        """The place that somebody of its id has is the stream's from now on."""

    def leave(self, stream: Holder, *, opened: bool = True) -> None:
        """Give the place back; `opened=False`: also what opening it has used up."""

    async def request(self, grant: KeyGrant) -> None:
        """One request that is no stream, or the refusal."""


class OpenDoor:
    """Everybody may come in: for tests of other things."""

    def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def enter(self, stream: Holder, counted_ms: int = 0) -> None:
        pass

    def hand_over(self, stream: Holder) -> None:
        pass

    def leave(self, stream: Holder, *, opened: bool = True) -> None:
        pass

    async def request(self, grant: KeyGrant) -> None:
        pass
