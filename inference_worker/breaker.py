"""The circuit breaker between streams and the engine, which is `faults.breaker` but for two things.

Open, the engine gets no stream at all, and is asked at growing intervals whether it works. When it says so,
the breaker is half open: one more failure opens it again, and the next interval is longer still; one step
that works closes it. An engine that never works again (a GPU that has fallen off the bus) is given up, and
with it the process.
"""

from __future__ import annotations

from dataclasses import dataclass

from faults import breaker
from faults.breaker import OPENS_AFTER as OPENS_AFTER

FIRST_PROBE_S, LONGEST_PROBE_S = 1.0, 30.0
GIVES_UP_AFTER = 8  # tries in a row, some two minutes


@dataclass
class Breaker(breaker.Breaker):
    first_pause_s: float = FIRST_PROBE_S
    longest_pause_s: float = LONGEST_PROBE_S

    @property
    def hopeless(self) -> bool:
        return self.open and self._tries > GIVES_UP_AFTER

    def probe_worked(self) -> None:
        self._failures = self.opens_after - 1
