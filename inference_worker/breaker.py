"""The circuit breaker between streams and the engine. Pure: whoever asks brings the time.

Closed: streams may come. After OPENS_AFTER failures in a row it opens: the engine gets no stream, and is
asked at growing intervals whether it works. When it says so, the breaker is half open: one more failure opens
it again, and the next interval is longer still; one step that works closes it. An engine that never works
again (a GPU that has fallen off the bus) is given up, and with it the process.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

OPENS_AFTER = 3
FIRST_PROBE_S, LONGEST_PROBE_S = 1.0, 30.0
GIVES_UP_AFTER = 8  # tries in a row, some two minutes


@dataclass
class Breaker:
    chance: random.Random = field(default_factory=random.Random)
    first_probe_s: float = FIRST_PROBE_S
    retry_at: float = 0.0
    _failures: int = 0  # in a row
    _tries: int = 0  # openings and probes since a step worked

    @property
    def open(self) -> bool:
        return self._failures >= OPENS_AFTER

    @property
    def hopeless(self) -> bool:
        return self.open and self._tries > GIVES_UP_AFTER

    def worked(self) -> None:
        self._failures = self._tries = 0

    def failed(self, now: float) -> bool:
        """True if that opened it."""
        was_open, self._failures = self.open, self._failures + 1
        if self.open:
            self._wait_longer(now)
        return self.open and not was_open

    def probe_worked(self) -> None:
        self._failures = OPENS_AFTER - 1

    def _wait_longer(self, now: float) -> None:
        # With chance in it: many workers whose engines failed together shall not ask together.
        longest = min(LONGEST_PROBE_S, self.first_probe_s * 2**self._tries)
        self.retry_at = now + longest * self.chance.uniform(0.5, 1.0)
        self._tries += 1
