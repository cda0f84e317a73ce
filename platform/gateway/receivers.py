"""Customers' servers: which are tried now, and which are left alone for a while. One for all threads of a
process.

A server that does not answer holds a thread until it is given up, and there are few threads. So after some
tries in vain there is one at a time and with pauses, of each project and host; and no project ever has more
than a few under way, however slow all its servers are. Others wait for neither.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import cache
from urllib.parse import urlsplit

from faults.breaker import Breaker
from gateway.callbacks import Callback

AT_ONCE = 4  # of one project; the process has 16 threads
LONGEST_PAUSE_S = 60.0
MAX_KNOWN = 10_000  # servers that do not answer; beyond it, the one is forgotten that failed longest ago

Where = tuple[str, str]


class Busy(Exception):
    """The project has as many under way as it may have."""


class Receivers:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failing: OrderedDict[Where, Breaker] = OrderedDict()
        self._under_way: Counter[str] = Counter()
        self._lock = threading.Lock()

    def begin(self, what: Callback) -> float:
        """0: try it, and say `end` afterwards. Else for how long its server is left alone. Raises `Busy`."""
        with self._lock:
            breaker = self._failing.get(_where(what))
            if breaker is not None and breaker.resting(self._clock()):
                return breaker.wait_s(self._clock())
            if self._under_way[what.project] >= AT_ONCE:
                raise Busy
            if breaker is not None:
                breaker.wait_s(self._clock())  # it is this one that tries
            self._under_way[what.project] += 1
            return 0.0

    def end(self, what: Callback, *, answered: bool) -> None:
        where = _where(what)
        with self._lock:
            self._under_way[what.project] -= 1
            if not self._under_way[what.project]:
                del self._under_way[what.project]
            if answered:
                self._failing.pop(where, None)
                return
            breaker = self._failing.setdefault(where, Breaker(longest_pause_s=LONGEST_PAUSE_S))
            breaker.failed(self._clock())
            self._failing.move_to_end(where)
            while len(self._failing) > MAX_KNOWN:
                self._failing.popitem(last=False)

    @property
    def open(self) -> int:
        """How many servers are left alone."""
        with self._lock:
            return sum(breaker.open for breaker in self._failing.values())


@cache
def current() -> Receivers:
    """The one of this process."""
    return Receivers()


def _where(what: Callback) -> Where:
    """Of one project: nobody can make a server that others use too look dead."""
    return what.project, urlsplit(what.url).netloc
