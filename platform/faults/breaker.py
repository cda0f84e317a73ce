"""The circuit breaker in front of what is remote. Pure: whoever asks brings the time.

Closed: everybody asks. After `opens_after` failures in a row it opens: nobody asks, so nobody waits for what
does not answer and nothing is heaped on what is overloaded. After a pause it is half open: one asks, and the
others still do not. If that works it closes, else the next pause is longer.

Only no answer is a failure. A refusal is an answer, and proves that the other side is there.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

OPENS_AFTER = 3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0
# Who was let through to try, and has not said since how it went, is not waited for any longer.
TRIAL_S = 20.0


@dataclass
class Breaker:
    opens_after: int = OPENS_AFTER
    first_pause_s: float = FIRST_PAUSE_S
    longest_pause_s: float = LONGEST_PAUSE_S
    chance: Callable[[], float] = random.random
    retry_at: float = 0.0
    _trial_until: float = 0.0
    _failures: int = 0  # in a row
    _tries: int = 0  # openings, and trials that failed, since it was closed

    @property
    def open(self) -> bool:
        """Half open is open, but for the one who tries."""
        return self._failures >= self.opens_after

    def resting(self, now: float) -> bool:
        """Whether nobody may ask now."""
        return self.open and now < max(self.retry_at, self._trial_until)

    def wait_s(self, now: float) -> float:
        """0: ask, and say afterwards whether it `worked` or `failed`. Otherwise how long not to ask."""
        if not self.open:
            return 0.0
        if self.resting(now):
            return max(self.retry_at, self._trial_until) - now
        self._trial_until = now + TRIAL_S
        return 0.0

    def left(self) -> None:
        """Who asked has gone before there was an answer. If it was the one who tries, another may."""
        self._trial_until = 0.0

    def worked(self) -> None:
        self._failures = self._tries = 0

    def failed(self, now: float) -> bool:
        """True if that opened it."""
        was_open = self.open
        if was_open and now < self.retry_at:
            return False  # somebody who asked before it opened
        self._failures += 1
        if self.open:
            self._trial_until = 0.0
            # At least half of it, so that open means open; the rest by chance, so that those who lost the
            # same server together do not try it together.
            longest = min(self.longest_pause_s, self.first_pause_s * 2 ** min(self._tries, 30))
            self.retry_at = now + longest * (0.5 + self.chance() / 2)
            self._tries += 1
        return self.open and not was_open
