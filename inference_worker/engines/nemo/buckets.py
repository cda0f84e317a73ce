"""The sizes a step may have; rows are added until one fits. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

FEW = 40


def sizes(most: int, *, few: bool, one: bool) -> tuple[int, ...]:
    """`few`: a graph is captured for each. Else every size is one, as rows that are nobody's gain nothing.
    `one`: always the largest, so that a stream is computed the same way whatever else is in the step."""
    if one:
        return (most,)
    if not few:
        return tuple(range(1, most + 1))
    powers = [2**power for power in range(most.bit_length()) if 2**power < most]
    # Halfway between two large ones, or close to half of the work could be for nobody.
    halfway = [power * 3 // 2 for power in powers if power >= 64 and power * 3 // 2 < most]
    return tuple(sorted({*powers, *halfway, most}))


def to_warm_up(sizes: Sequence[int]) -> set[int]:
    """All, where they are few; else the first and the last do for the others."""
    return set(sizes) if len(sizes) <= FEW else {sizes[0], sizes[-1]}


def fit(sizes: Sequence[int], rows: int) -> int:
    """The smallest size that holds so many rows."""
    return sizes[bisect_left(sizes, rows)]
