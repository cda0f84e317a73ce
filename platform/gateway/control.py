"""The control database as a gateway sees it: it may be far away, and may be away.

One breaker stands before it, for all who ask. While nothing answers, nobody waits for it: who needs it is
refused by name, and who does not goes on. What was known of keys when it last answered holds for a bounded
time. See docs/control-database.md.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import ParamSpec, TypeVar

from channels.db import database_sync_to_async

from config import env
from faults import kinds
from faults.breaker import Breaker
from gateway import telemetry
from gateway.errors import ControlDatabaseUnreachable

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 3.0
# So often it is asked at least whether it is back: by whoever pulls the changes of keys.
LONGEST_PAUSE_S = 2.0

# Of our own: what streams need does not queue behind a slow page of the console.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="database")


class ControlDatabase:
    def __init__(
        self, grace_s: float, *, breaker: Breaker | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.grace_s = grace_s
        self.breaker = breaker or Breaker(first_pause_s=0.5, longest_pause_s=LONGEST_PAUSE_S)
        self.current_at: float | None = None  # so far all changes of keys are known
        self._clock = clock

    @property
    def away(self) -> bool:
        return self.breaker.open

    @property
    def silent_s(self) -> float | None:
        """How old the newest news of it is; None: there has not been any."""
        return None if self.current_at is None else self._clock() - self.current_at

    @property
    def grace_left_s(self) -> float:
        """How much longer what is known of keys holds without news."""
        return 0.0 if self.silent_s is None else max(0.0, self.grace_s - self.silent_s)

    def refuse_if_away(self) -> None:
        # Not even one to try: whoever pulls changes does that, and no customer has to wait for it.
        if self.away:
            raise ControlDatabaseUnreachable()

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Around whatever asks it, to note whether it answered. That it refuses is an answer."""
        try:
            yield
        except Exception as error:
            if isinstance(error, TimeoutError) or kinds.postgres_is_away(error):
                if self.breaker.failed(self._clock()):
                    log.warning("the control database cannot be reached: %s", type(error).__name__)
            else:
                self._answered()
            raise
        else:
            self._answered()

    def _answered(self) -> None:
        if self.away:
            log.warning("the control database answers again")
        self.breaker.worked()

    async def ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it in a thread. Raises `ControlDatabaseUnreachable` at once while nothing answers."""
        self.refuse_if_away()
        with self.noting():
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await in_thread(function, *args, **kwargs)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await database_sync_to_async(function, thread_sensitive=False, executor=_threads)(*args, **kwargs)


@cache
def current() -> ControlDatabase:
    """The one of this process."""
    mine = ControlDatabase(env.CONTROL_DB_GRACE_SECONDS.read())
    telemetry.breakers_open.labels("database").set_function(lambda: mine.away)
    telemetry.control_database_grace.set_function(lambda: mine.grace_left_s)
    telemetry.control_database_silent.set_function(
        lambda: math.inf if mine.silent_s is None else mine.silent_s
    )
    return mine
