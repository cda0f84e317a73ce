"""The streams open in this process, so that they can be ended from outside: a revoked key, a hold
on the tenant, a stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol
from uuid import UUID

from gateway.errors import AccessRefused, GatewayError
from tenants import access
from tenants.access import KeyGrant
from tenants.errors import AccessError, OnHold


class OpenStream(Protocol):
    grant: KeyGrant

    def fail(self, error: GatewayError) -> None: ...

    def wind_up(self, error: GatewayError) -> bool: ...

    def move_away(self, address: str) -> bool:
        """Have its client come back at another region, ws(s)://host. False: it cannot, and stays."""


class Streams:
    def __init__(self, known: Callable[[str], KeyGrant | None] = lambda prefix: None) -> None:
        """`known` has what was heard of a key last, by its prefix."""
        self._known = known
        self._by_key: dict[UUID, set[OpenStream]] = {}
        self._count = 0
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return self._count

    def add(self, stream: OpenStream) -> None:
        # What has changed since its key was checked was told to those who were here.
        stream.grant = self._known(stream.grant.prefix) or stream.grant
        self._by_key.setdefault(stream.grant.key_id, set()).add(stream)
        self._count += 1
        self._empty.clear()

    def remove(self, stream: OpenStream) -> None:
        of_key = self._by_key.get(stream.grant.key_id, set())
        if stream not in of_key:
            return
        of_key.remove(stream)
        if not of_key:
            del self._by_key[stream.grant.key_id]
        self._count -= 1
        if self._count == 0:
            self._empty.set()

    def all(self) -> list[OpenStream]:
        return [stream for of_key in self._by_key.values() for stream in of_key]

    def keys(self) -> list[UUID]:
        return list(self._by_key)

    def prefixes(self) -> set[str]:
        """Of the keys of all that are open."""
        return {stream.grant.prefix for of_key in self._by_key.values() for stream in of_key}

    def of(self, prefixes: Iterable[str]) -> list[OpenStream]:
        wanted = set(prefixes)
        every = [stream for of_key in self._by_key.values() for stream in of_key]
        return [stream for stream in every if stream.grant.prefix in wanted]

    def apply(self, grants: Iterable[KeyGrant], now: datetime) -> None:
        """End the streams whose key is no longer good, by what has just been read and by the time, and wind
        up those of tenants on hold, who have done nothing wrong."""
        for grant in grants:
            for stream in list(self._by_key.get(grant.key_id, ())):
                stream.grant = grant
        for of_key in list(self._by_key.values()):
            for stream in list(of_key):
                try:
                    access.check_state(stream.grant, now=now)
                    access.check_hold(stream.grant)
                except OnHold as error:
                    stream.wind_up(AccessRefused(error))
                except AccessError as error:
                    stream.fail(AccessRefused(error))

    def fail_all(self, error: GatewayError) -> None:
        for of_key in list(self._by_key.values()):
            for stream in list(of_key):
                stream.fail(error)

    async def all_gone(self, within_s: float) -> bool:
        try:
            await asyncio.wait_for(self._empty.wait(), within_s)
        except TimeoutError:
            return False
        return True
