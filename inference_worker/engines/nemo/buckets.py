"""The sizes a step may have. On a GPU a graph is captured for each; rows are added until one fits. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


def sizes(most: int, *, on_gpu: bool, one: bool) -> tuple[int, ...]:
    """`one`: always the largest, so that a stream is computed the same way whatever else is in the step. A
    CPU gains nothing from rows that are nobody's: there every size is one."""
    if one:
        return (most,)
    if not on_gpu:
        return tuple(range(1, most + 1))
    powers = [2**power for power in range(most.bit_length()) if 2**power < most]
    # Halfway between two large ones, or a third of the work could be for nobody.
    halfway = [power * 3 // 2 for power in powers if power >= 64 and power * 3 // 2 < most]
    return tuple(sorted({*powers, *halfway, most}))


def fit(sizes: Sequence[int], rows: int) -> int:
    """The smallest size that holds so many rows."""
    return sizes[bisect_left(sizes, rows)]
