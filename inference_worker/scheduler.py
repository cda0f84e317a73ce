"""Which streams ride in the next step, how long to wait for company, how large a step may be. Pure policy."""

from __future__ import annotations

from collections import Counter
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
    """A stream with work: a chunk, a flush or its end. `since` is when that work was complete. Recorded audio
    is there long before: it has waited since it last rode."""

    key: Key
    tenant: str
    live: bool
    since: float


def pick(candidates: Sequence[Candidate[Key]], now: float, room: int) -> list[Key]:
    """Up to `room` of the candidates: live before recorded, each tenant in turn, oldest deadline first.

    All chunks are equally long, so the oldest deadline belongs to the oldest `since`. A tenant's second
    stream rides only after every tenant's first, so a tenant with a thousand streams delays itself. At most
    RECORDED_ROWS of recorded audio ride in a step. Where there is no room for all, the one that has waited
    longest counts as live after RECORDED_PATIENCE_S: recorded audio is slowed and never starved, and never
    takes more than one place of those who speak now.
    """
    in_order = sorted(candidates, key=lambda candidate: candidate.since)
    recorded = [candidate for candidate in in_order if not candidate.live]
    if len(recorded) > RECORDED_ROWS:
        left_out = {id(candidate) for candidate in _in_turns(recorded)[RECORDED_ROWS:]}
        in_order = [candidate for candidate in in_order if id(candidate) not in left_out]
    if len(in_order) <= room:
        return [candidate.key for candidate in in_order]
    yielding = [candidate for candidate in in_order if not candidate.live]
    if yielding and now - yielding[0].since >= RECORDED_PATIENCE_S:
        del yielding[0]
    yields = {id(candidate) for candidate in yielding}
    first = [candidate for candidate in in_order if id(candidate) not in yields]
    return [candidate.key for candidate in (_in_turns(first) + _in_turns(yielding))[:room]]


def _in_turns(in_order: Sequence[Candidate[Key]]) -> list[Candidate[Key]]:
    """Each tenant's first, then each tenant's second, and so on; within a turn they keep their order."""
    turns: Counter[str] = Counter()
    ranked = []
    for candidate in in_order:
        ranked.append((turns[candidate.tenant], candidate))
        turns[candidate.tenant] += 1
    return [candidate for _, candidate in sorted(ranked, key=lambda entry: entry[0])]


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
