"""Arithmetic on sets of half-open ranges `[start, end)` of whole milliseconds. Pure.

A set is any iterable of ranges, in any order, with repeats and overlaps; what comes back is its shortest
form: sorted, disjoint, nothing empty, and what touches is one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Range: TypeAlias = tuple[int, int]


def union(*sets: Iterable[Range]) -> list[Range]:
    """What is in any of them."""
    whole: list[Range] = []
    for start, end in sorted(one for ranges in sets for one in ranges):
        if end <= start:
            continue
        if whole and start <= whole[-1][1]:
            if end > whole[-1][1]:
                whole[-1] = (whole[-1][0], end)
        else:
            whole.append((start, end))
    return whole


def minus(ranges: Iterable[Range], others: Iterable[Range]) -> list[Range]:
    """What is in `ranges` and not in `others`."""
    left: list[Range] = []
    taken = union(others)
    at = 0
    for start, end in union(ranges):
        while at < len(taken) and taken[at][1] <= start:
            at += 1
        here = at
        while start < end and here < len(taken) and taken[here][0] < end:
            if taken[here][0] > start:
                left.append((start, taken[here][0]))
            start = max(start, taken[here][1])
            here += 1
        if start < end:
            left.append((start, end))
    return left


def common(ranges: Iterable[Range], others: Iterable[Range]) -> list[Range]:
    """What is in both."""
    ours = union(ranges)
    return minus(ours, minus(ours, others))


def clip(ranges: Iterable[Range], start: int, end: int) -> list[Range]:
    """What of `ranges` is within `[start, end)`."""
    return union((max(low, start), min(high, end)) for low, high in ranges)


def size(ranges: Iterable[Range]) -> int:
    """How much is in it; what is in it twice counts once."""
    return sum(end - start for start, end in union(ranges))
