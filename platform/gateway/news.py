"""What changes of keys, pulled from the control database several times a second, for as long as the process
lives.

Pulled and not pushed, so nothing is lost with a message: when the database has been away, the next pull
brings what was revoked meanwhile. And not only what is said to have changed: after any silence every key that
is held here is read again, because nobody knows what the silence was. It may have been longer than changes
are told (a day), or the end of one server and the beginning of another that lacks its last transactions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from channels.db import database_sync_to_async

from gateway.auth import KeyCache
from gateway.control import ControlDatabase
from gateway.streams import Streams
from tenants import selectors
from tenants.access import KeyGrant
from tenants.selectors import Changes

T = TypeVar("T")

log = logging.getLogger(__name__)

PULL_EVERY_S = 0.3
AT_A_TIME = 1000  # keys that are read again with one question

ANSWER_WITHIN_S = 5.0

# Its own: who looks up keys cannot take its turn. Several, for one that a server hangs with.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="key-news")


async def read_changes(moment: int | None) -> Changes:
    return await _in_thread(partial(selectors.changes_since, moment))


async def read_grants(prefixes: Sequence[str]) -> list[KeyGrant]:
    return await _in_thread(partial(selectors.find_grants, prefixes))


class News:
    def __init__(
        self,
        database: ControlDatabase,
        keys: KeyCache,
        streams: Streams,
        *,
        changes: Callable[[int | None], Awaitable[Changes]] = read_changes,
        grants: Callable[[Sequence[str]], Awaitable[list[KeyGrant]]] = read_grants,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._keys, self._streams = database, keys, streams
        self._changes, self._grants, self._clock = changes, grants, clock
        self._moment: int | None = None  # None: something may have been missed

    async def pull_forever(self, after_each: Callable[[], None] = lambda: None) -> None:
        while True:
            pause_s = PULL_EVERY_S
            try:
                await self.pull()
            except Exception as error:
                log.warning("cannot apply key changes: %s", type(error).__name__)
                # Never more often than usual, never less often than the breaker's longest pause.
                pause_s = max(pause_s, self._database.breaker.retry_at - self._clock())
            after_each()
            await asyncio.sleep(pause_s)

    async def pull(self) -> None:
        """Hear what has changed since the last time, or what is, if that is not known for certain."""
        began, before = self._clock(), self._moment
        self._moment = None
        with self._database.noting():
            changes = await self._changes(before)
            if before is None or changes.moment < before:  # the numbers began anew: another server
                await self._read_all_again()
        self._apply(changes.grants)
        self._moment = changes.moment
        self._database.current_at = began

    async def _read_all_again(self) -> None:
        """Those of open streams first."""
        self._keys.doubt()
        of_streams = self._streams.prefixes()
        await self._read_again(list(of_streams))
        await self._read_again([prefix for prefix in self._keys.prefixes() if prefix not in of_streams])

    async def _read_again(self, prefixes: list[str]) -> None:
        for start in range(0, len(prefixes), AT_A_TIME):
            some = prefixes[start : start + AT_A_TIME]
            grants = await self._grants(some)
            found = {grant.prefix for grant in grants}
            self._apply(grants)
            self._gone([prefix for prefix in some if prefix not in found])

    def _apply(self, grants: Sequence[KeyGrant]) -> None:
        self._keys.replace(grants)
        self._streams.apply(grants, datetime.now(UTC))

    def _gone(self, prefixes: Sequence[str]) -> None:
        """Of keys that were deleted there is nothing to be read: they end as if they were revoked."""
        self._keys.forget(prefixes)
        now = datetime.now(UTC)
        gone = {stream.grant.key_id: stream.grant for stream in self._streams.of(prefixes)}
        self._streams.apply([replace(grant, revoked_at=now) for grant in gone.values()], now)


async def _in_thread(function: Callable[[], T]) -> T:
    async with asyncio.timeout(ANSWER_WITHIN_S):
        return await database_sync_to_async(function, thread_sensitive=False, executor=_threads)()
