"""What a step leaves behind in the arenas, written when all of it is computed.

A step that fails has then changed nothing, and the same rows can be given again. (Keys and values do not
wait: `encoder.py` says why they need not.)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Writes:
    slots: Tensor
    _waiting: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def later(self, arena: Tensor, rows: Tensor) -> None:
        self._waiting.append((arena, rows))

    def commit(self) -> None:
        for arena, rows in self._waiting:
            arena.index_copy_(0, self.slots, rows)
