"""The pauses of a lane: from where to where nobody spoke. A worker that begins in one cuts no word."""

from __future__ import annotations

from collections import deque

from wire.messages import SAMPLE_RATE

# Where nobody pauses, a replay begins anywhere rather than so much earlier.
WITHIN = 20 * SAMPLE_RATE


class Rests:
    def __init__(self, start: int = 0) -> None:
        self._rests: deque[tuple[int, int]] = deque([(start, start)])

    def note(self, confirmed: int, said_until: int) -> None:
        """Nobody has spoken between the last final, which ends at `said_until`, and what is confirmed."""
        since, until = self._rests[-1]
        if confirmed <= until:
            return
        if said_until > until:  # there was a final since then
            self._rests.append((confirmed, confirmed))
        else:
            self._rests[-1] = since, confirmed

    def before(self, latest: int) -> int:
        """Where the last pause before it ends; itself in a pause, and where pauses are rare."""
        begin = latest
        for since, until in self._rests:
            if since > latest:
                break
            if latest - until <= WITHIN:
                begin = min(until, latest)
        return begin

    def forget_before(self, position: int) -> None:
        while len(self._rests) > 1 and self._rests[1][0] <= position:
            self._rests.popleft()
