"""Computing time that may go into partials. Finals are always allowed, and use the credit up, too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Credit:
    share: float  # seconds earned in a second
    now: float
    most: float = 0.3
    debt: float = 2.0
    seconds: float = 0.0

    def earn(self, now: float) -> None:
        self.seconds = min(self.most, self.seconds + self.share * (now - self.now))
        self.now = now

    def spend(self, seconds: float) -> None:
        self.seconds = max(-self.debt, self.seconds - seconds)

    @property
    def left(self) -> bool:
        return self.seconds > 0
