"""How long to wait before trying again to reach the server, and when to give it up.

The waits grow, and each is drawn from the whole range up to its limit: clients that were cut off together do
not come back together. Nothing here waits.
"""

from __future__ import annotations

from random import Random

FIRST_S, LONGEST_S = 0.5, 10.0
MAX_IN_VAIN = 20  # connections that brought nothing


class Patience:
    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._tries = self._in_vain = 0
        self._lost_at: float | None = None

    def connected(self) -> None:
        """Not yet that it is any use: a server that lets in and breaks off is asked less and less often."""
        self._lost_at = None
        self._in_vain += 1

    def got_further(self) -> None:
        self._tries = self._in_vain = 0

    def pause_s(self, now: float, within_s: float, at_least_s: float | None) -> float | None:
        """After a try that failed: so long before the next. None: no more, it has been `within_s` since the
        connection was lost, or too many were of no use. `at_least_s` is what the server asked for."""
        self._lost_at = now if self._lost_at is None else self._lost_at
        limit = min(LONGEST_S, FIRST_S * 2**self._tries)
        self._tries += 1
        pause = (at_least_s or 0.0) + self._chance.uniform(0, limit)
        if self._in_vain >= MAX_IN_VAIN or now + pause > self._lost_at + within_s:
            return None
        return pause
