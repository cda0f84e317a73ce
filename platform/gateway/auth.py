"""Whose key is it? Reads the key, or a token of it, from a handshake or a request, checks it, and remembers
the answer for seconds.

Revocations are pulled from the database several times a second by every gateway process (`gateway.news`), so
a key is refused everywhere within one second, cached or not, whatever the channel layer loses; its open
streams are closed then. While the database cannot be asked, the keys that are known here are good as they
were when it last answered, for a bounded time; others are refused by name, and may try again.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from gateway import telemetry, tokens
from gateway.control import ControlDatabase
from gateway.errors import AccessRefused, ControlDatabaseUnreachable, TooManyFailures
from tenants import access
from tenants.access import KeyGrant
from tenants.errors import AccessError, KeyMissing, OnHold, TokenNotAllowed

log = logging.getLogger(__name__)

MAX_CACHED = 50_000
MAX_UNKNOWN = 10_000  # apart, so that whoever guesses prefixes drives out no key that is known
MAX_ADDRESSES = 50_000
SCHEMES = ("token", "bearer")
LOOK_UP_WITHIN_S = 4.0

Find = Callable[[str], Awaitable[KeyGrant | None]]


@dataclass(frozen=True)
class Credentials:
    secret: str
    subprotocol: str | None  # to be echoed when the key came as one


def credentials(headers: Iterable[tuple[bytes, bytes]], subprotocols: Iterable[str]) -> Credentials:
    """The key, from `Authorization: Token|Bearer KEY` or the subprotocols `token|bearer, KEY` of browsers."""
    for name, value in headers:
        if name.lower() == b"authorization":
            scheme, _, secret = value.decode("latin-1").partition(" ")
            return Credentials(_from_scheme(scheme, secret.strip()), None)
    offered = list(subprotocols)
    if len(offered) >= 2 and offered[0].lower() in SCHEMES:
        return Credentials(offered[1], offered[0])
    raise KeyMissing()


def _from_scheme(scheme: str, secret: str) -> str:
    if scheme.lower() in SCHEMES and secret:
        return secret
    if scheme.lower() == "basic":
        # What HTTP clients make of `https://KEY@host`.
        try:
            return base64.b64decode(secret, validate=True).decode("latin-1").split(":")[0]
        except (binascii.Error, ValueError):
            pass
    raise KeyMissing()


def header(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> str | None:
    for name, value in headers:
        if name.lower() == wanted:
            return value.decode("latin-1")
    return None


@dataclass
class Failures:
    """Failed checks of each address in the last minute. Bounded: who failed longest ago is forgotten."""

    per_minute: int
    clock: Callable[[], float] = time.monotonic
    _times: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict)

    def wait_s(self, address: str) -> float:
        """How long until this address may fail again; 0 when it may now."""
        times = self._times.get(address, deque())
        now = self.clock()
        while times and now - times[0] >= 60:
            times.popleft()
        return 60 - (now - times[0]) if len(times) >= self.per_minute else 0.0

    def add(self, address: str) -> None:
        times = self._times.setdefault(address, deque(maxlen=self.per_minute))
        times.append(self.clock())
        self._times.move_to_end(address)
        while len(self._times) > MAX_ADDRESSES:
            self._times.popitem(last=False)


@dataclass
class KeyCache:
    """Grants by prefix, also that there is none. Many handshakes with one key cause one look-up.

    For `keep_s` it answers by itself. It keeps grants for longer, as true as the last news, for when nobody
    else can answer; of those that are too many, the one goes that was looked up longest ago.
    """

    find: Find
    keep_s: float
    clock: Callable[[], float] = time.monotonic
    _grants: OrderedDict[str, tuple[KeyGrant, float]] = field(default_factory=OrderedDict)
    _unknown: OrderedDict[str, tuple[None, float]] = field(default_factory=OrderedDict)
    _asking: dict[str, asyncio.Task[KeyGrant | None]] = field(default_factory=dict)

    async def get(self, prefix: str) -> KeyGrant | None:
        cached = self._fresh(prefix)
        if cached is not None:
            telemetry.key_lookups.labels("cache").inc()
            return cached[0]
        task = self._asking.get(prefix)
        if task is None:
            task = self._asking[prefix] = asyncio.create_task(self._ask(prefix), name="find key")
        # Shielded: the first of many who ask may hang up, and the others still want to know.
        found = await asyncio.shield(task)
        # Not what was found, if a change has been read since then: nobody would tell this stream again.
        newest = self._grants.get(prefix)
        return newest[0] if newest is not None else found

    def known(self, prefix: str) -> KeyGrant | None:
        """Without asking anybody: the grant if there is a good one in the cache."""
        cached = self._fresh(prefix)
        return cached[0] if cached is not None else None

    def remembered(self, prefix: str) -> KeyGrant | None:
        """However long ago it was looked up: as it was by the last news."""
        cached = self._grants.get(prefix)
        return cached[0] if cached is not None else None

    def replace(self, grants: Iterable[KeyGrant]) -> None:
        """What has just been read counts, also against a look-up that is under way."""
        for grant in grants:
            asked = self._asking.pop(grant.prefix, None)
            missed = self._unknown.pop(grant.prefix, None)
            if asked is not None or missed is not None or grant.prefix in self._grants:
                self._keep(grant.prefix, grant)

    def prefixes(self) -> list[str]:
        """Of all keys that are known, those looked up last first."""
        return list(reversed(self._grants))

    def doubt(self) -> None:
        """Something may have changed that nobody told: whoever asks for a key has it looked up again."""
        self._unknown.clear()
        for prefix, (grant, _) in self._grants.items():
            self._grants[prefix] = (grant, float("-inf"))

    def forget(self, prefixes: Iterable[str]) -> None:
        for prefix in prefixes:
            self._grants.pop(prefix, None)

    def _fresh(self, prefix: str) -> tuple[KeyGrant | None, float] | None:
        cached = self._grants.get(prefix) or self._unknown.get(prefix)
        return cached if cached is not None and self.clock() - cached[1] < self.keep_s else None

    def _keep(self, prefix: str, grant: KeyGrant | None) -> None:
        at = self.clock()
        if grant is None:
            self._grants.pop(prefix, None)
            self._unknown[prefix] = (None, at)
        else:
            self._unknown.pop(prefix, None)
            self._grants[prefix] = (grant, at)
        while len(self._unknown) > MAX_UNKNOWN:
            self._unknown.popitem(last=False)
        while len(self._grants) > MAX_CACHED:
            self._grants.popitem(last=False)

    async def _ask(self, prefix: str) -> KeyGrant | None:
        me = asyncio.current_task()
        try:
            grant = await self.find(prefix)
            if self._asking.get(prefix) is me:
                self._keep(prefix, grant)
                if grant is not None:
                    self._grants.move_to_end(prefix)
            telemetry.key_lookups.labels("database").inc()
            return grant
        finally:
            if self._asking.get(prefix) is me:
                del self._asking[prefix]


@dataclass(frozen=True)
class Authenticated:
    grant: KeyGrant  # with a token's scopes, if it was one
    subprotocol: str | None
    by_token: bool = False


@dataclass
class Authenticator:
    keys: KeyCache
    failures: Failures
    database: ControlDatabase = field(default_factory=lambda: ControlDatabase(grace_s=0))
    _used: set[UUID] = field(default_factory=set)

    async def authenticate(
        self,
        scope: Mapping[str, Any],
        needed: str | None,
        address: str,
        *,
        offered: Credentials | None = None,
        tokens_allowed: bool = True,
    ) -> Authenticated:
        """Whose handshake or request this is, or the refusal, which counts against its address.

        `scope` is an ASGI scope, of a socket or a request. `needed` is the scope the key must have; None:
        any. `offered` is for a dialect in which the key is elsewhere than `credentials` looks.

        An address with too many failures gets no look-up any more, but a key that is in use stays good:
        one misconfigured client does not lock out the office it is in.
        """
        headers = scope["headers"]
        wait_s = self.failures.wait_s(address)
        try:
            given = offered or credentials(headers, scope.get("subprotocols", ()))
            origin, now = header(headers, b"origin"), datetime.now(UTC)
            by_token = tokens.looks_like_one(given.secret)
            if by_token:
                token = tokens.read(given.secret, now=now)
                if not tokens_allowed:
                    raise TokenNotAllowed()
                found = await self._find(token.prefix, known_only=bool(wait_s))
                grant = tokens.check(token, found, scope=needed, origin=origin, now=now)
            else:
                prefix = access.prefix_of(given.secret)
                found = await self._find(prefix, known_only=bool(wait_s))
                grant = access.check(found, secret=given.secret, scope=needed, origin=origin, now=now)
        except OnHold as error:
            # Whoever hears this has proven to hold the key: nobody is guessing, however often he asks.
            raise AccessRefused(error) from None
        except AccessError as error:
            if wait_s:
                raise TooManyFailures(retry_after_s=wait_s) from None
            self.failures.add(address)
            raise AccessRefused(error) from None
        self._used.add(grant.key_id)
        return Authenticated(grant, given.subprotocol, by_token)

    def take_used(self) -> set[UUID]:
        """The keys used since the last call."""
        used, self._used = self._used, set()
        return used

    async def _find(self, prefix: str, *, known_only: bool) -> KeyGrant | None:
        if not self.database.away:
            if known_only:
                return self.keys.known(prefix)
            try:
                async with asyncio.timeout(LOOK_UP_WITHIN_S):
                    return await self.keys.get(prefix)
            except Exception as error:
                log.warning("cannot look up an API key: %s", type(error).__name__)
        grant = self.keys.remembered(prefix) if self.database.grace_left_s else None
        if grant is None and not known_only:
            raise ControlDatabaseUnreachable()
        telemetry.key_lookups.labels("memory").inc()
        return grant
