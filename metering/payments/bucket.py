"""How often the provider is called: a token bucket for all threads of a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# Of the provider's 25 calls a second in a sandbox and 1,000 in earnest. Several processes share them; where
# that is too much it says 429, and we wait as long as it says.
SANDBOX_RATE, LIVE_RATE = 20.0, 200.0


class Bucket:
    def __init__(
        self, rate: float, *, clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._lock = threading.Lock()
        self._next = clock()

    def take(self) -> None:
        """Wait for one's turn. Turns are given out one after the other, `rate` of them a second."""
        with self._lock:
            now = self._clock()
            turn = max(self._next, now)
            self._next = turn + 1 / self._rate
        if turn > now:
            self._sleep(turn - now)

    def pause(self, seconds: float) -> None:
        """No turn before that."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)
