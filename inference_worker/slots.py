"""Who holds which slot. A lease names a slot and its generation, so what an engine says about a slot can
never reach the stream that holds it next."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

Holder = TypeVar("Holder")


@dataclass(frozen=True)
class Lease:
    slot: int
    generation: int


class SlotArena(Generic[Holder]):
    def __init__(self, size: int) -> None:
        self.size = size
        self._generations = [0] * size
        self._holders: list[Holder | None] = [None] * size
        # First in, first out: a slot rests as long as it can before it is used again.
        self._free = deque(range(size))

    @property
    def active(self) -> int:
        return self.size - len(self._free)

    def claim(self, holder: Holder) -> Lease | None:
        """A slot for `holder`, or None when all are taken."""
        if not self._free:
            return None
        slot = self._free.popleft()
        self._generations[slot] += 1
        self._holders[slot] = holder
        return Lease(slot, self._generations[slot])

    def holder(self, lease: Lease) -> Holder | None:
        """Whoever holds the slot, but only if it still is the one the lease was given to."""
        return self._holders[lease.slot] if self._generations[lease.slot] == lease.generation else None

    def release(self, lease: Lease) -> bool:
        """Free the slot; False if the lease had ended before."""
        if self.holder(lease) is None:
            return False
        self._holders[lease.slot] = None
        self._free.append(lease.slot)
        return True
