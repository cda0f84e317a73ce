"""Which streams ride in the next step, how long to wait for company, how large a step may be. Pure policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

RECORDED_PATIENCE_S = 2.0
# Rows of recorded audio are long; more of them in a step would hold up the live ones beside them.
RECORDED_ROWS = 4
RECOVER_AFTER_STEPS = 50

Key = TypeVar("Key")


@dataclass(frozen=True)
class Candidate(Generic[Key]):
    """A stream with work: a chunk, a flush or its end. `since` is when that work was complete."""

    key: Key
    tenant: str
    live: bool
    since: float


def pick(candidates: Sequence[Candidate[Key]], now: float, room: int) -> list[Key]:
    """Up to `room` of the candidates: live before recorded, each tenant in turn, oldest deadline first.

    All chunks are equally long, so the oldest deadline belongs to the oldest `since`. A tenant's second
    stream rides only after every tenant's first, so a tenant with a thousand streams delays itself. Recorded
    audio that has waited for RECORDED_PATIENCE_S counts as live, so it is slowed and never starved; at most
    RECORDED_ROWS of it ride in a step.
    """
    in_order = sorted(candidates, key=lambda candidate: candidate.since)
    recorded = [candidate for candidate in in_order if not candidate.live]
    if len(recorded) > RECORDED_ROWS:
        left_out = {id(candidate) for candidate in recorded[RECORDED_ROWS:]}
        in_order = [candidate for candidate in in_order if id(candidate) not in left_out]
    if len(in_order) <= room:
        return [candidate.key for candidate in in_order]
    turns: dict[tuple[bool, str], int] = {}
    ranked = []
    for candidate in in_order:
        yields = not candidate.live and now - candidate.since < RECORDED_PATIENCE_S
        turn = turns.get((yields, candidate.tenant), 0)
        turns[yields, candidate.tenant] = turn + 1
        ranked.append((yields, turn, candidate))
    ranked.sort(key=lambda entry: entry[:2])  # stable: within a turn the oldest stays first
    return [candidate.key for _, _, candidate in ranked[:room]]


@dataclass(frozen=True)
class Wait:
    """How long an idle worker waits for company after the first chunk: few streams, little to wait for."""

    few_s: float = 0.005
    some_s: float = 0.015
    many_s: float = 0.040

    def seconds(self, active: int) -> float:
        if active < 10:
            return self.few_s
        return self.some_s if active < 50 else self.many_s


DEFAULT_WAIT = Wait()


@dataclass
class BatchLimit:
    """The largest step that the device has shown to have memory for; halved when it had not, then regrown."""

    most: int
    size: int = 0
    _good_steps: int = 0

    def __post_init__(self) -> None:
        self.size = self.size or self.most

    def out_of_memory(self, tried: int) -> None:
        self.size = max(1, min(self.size, tried) // 2)
        self._good_steps = 0

    def succeeded(self) -> None:
        if self.size == self.most:
            return
        self._good_steps += 1
        if self._good_steps >= RECOVER_AFTER_STEPS:
            self._good_steps = 0
            self.size = min(self.most, self.size + max(1, self.size // 4))
