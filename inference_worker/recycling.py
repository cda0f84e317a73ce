"""When a worker that works should make room for a fresh one: after some hours, or as its steps slow down.
Pure: whoever asks brings the time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from statistics import median

STEPS = 200  # of one size, whose median is compared
SLOW_FOR_S = 300.0  # a neighbour on the machine may slow us down for as long, and that is no drift
SPREAD = 0.1  # of the hours, either way: workers that were started together shall not leave together
SPREAD_S = 60.0  # the same for those that slow down together


@dataclass
class Drift:
    """The time of steps against what it was when the worker was young, for each size of a batch apart: sizes
    within a factor of two are one. What a step costs must depend on its rows alone, so those with recorded
    audio, whose rows are of any length, are left out."""

    factor: float  # so many times the first is slow; 0: never
    _baselines: dict[int, float] = field(default_factory=dict)
    _steps: dict[int, list[float]] = field(default_factory=dict)
    _slow_since: dict[int, float] = field(default_factory=dict)

    def add(self, rows: int, seconds: float, now: float) -> None:
        if not self.factor:
            return
        size = rows.bit_length()
        steps = self._steps.setdefault(size, [])
        steps.append(seconds)
        if len(steps) < STEPS:
            return
        typical = median(steps)
        steps.clear()
        if typical > self.factor * self._baselines.setdefault(size, typical):
            self._slow_since.setdefault(size, now)
        else:
            self._slow_since.pop(size, None)

    def slow(self, now: float) -> bool:
        return any(now - since >= SLOW_FOR_S for since in self._slow_since.values())


@dataclass
class Recycling:
    """Says when it is time. `hours` 0: never by age."""

    hours: float
    drift: Drift
    started: float
    chance: random.Random = field(default_factory=random.Random)
    _due: float = float("inf")
    _slow: bool = False

    def __post_init__(self) -> None:
        if self.hours:
            self._due = self.started + self.hours * 3600 * self.chance.uniform(1 - SPREAD, 1 + SPREAD)

    def due(self, now: float) -> str | None:
        """Why, once it is time."""
        if not self._slow and self.drift.slow(now):
            self._slow = True
            self._due = min(self._due, now + self.chance.uniform(0, SPREAD_S))
        if now < self._due:
            return None
        return "slow" if self._slow else "age"
