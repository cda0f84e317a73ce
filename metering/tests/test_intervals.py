from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from metering.intervals import Range, clip, common, minus, size, union

RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


def points(ranges: list[Range]) -> set[int]:
    """The same set, the slow and certain way."""
    return {point for start, end in ranges for point in range(start, end)}


def is_shortest(ranges: list[Range]) -> bool:
    return all(start < end for start, end in ranges) and all(
        one[1] < other[0] for one, other in pairwise(ranges)
    )


@given(RANGES, RANGES)
def test_they_are_sets_of_milliseconds(one: list[Range], other: list[Range]) -> None:
    for result, expected in (
        (union(one, other), points(one) | points(other)),
        (minus(one, other), points(one) - points(other)),
        (common(one, other), points(one) & points(other)),
    ):
        assert points(result) == expected
        assert is_shortest(result)
    assert size(one) == len(points(one))


@given(RANGES, st.integers(0, 40), st.integers(0, 40))
def test_clip_keeps_what_is_within(ranges: list[Range], start: int, end: int) -> None:
    assert points(clip(ranges, start, end)) == points(ranges) & set(range(start, end))


def test_what_touches_is_one() -> None:
    assert union([(5, 10), (0, 5)]) == [(0, 10)]
    assert minus([(0, 10)], [(4, 6)]) == [(0, 4), (6, 10)]
    assert minus([(0, 10), (20, 30)], [(5, 25)]) == [(0, 5), (25, 30)]
