from __future__ import annotations

import pytest

from ops.chaos.compare import Words, double_billed_ms, words

WANTED = ["It", "was", "the", "best", "of", "times,", "it", "was", "the", "worst", "of", "times."]


@pytest.mark.parametrize(
    ("heard", "found"),
    [
        ("it was the best of times it was the worst of times", Words(0, 0, 0)),
        ("It was the best of times, the worst of times.", Words(2, 0, 0)),
        ("It was the best of times, it was", Words(4, 0, 0)),
        ("It was the best of times, best of times, it was the worst of times.", Words(0, 3, 0)),
        ("It was the best of times, it was the first of times.", Words(0, 0, 1)),
        ("It was the best of times, it was the very first of times.", Words(0, 1, 1)),
        ("", Words(12, 0, 0)),
        ("It was the best of times , - it was the worst of times", Words(0, 0, 0)),
    ],
)
def test_words_that_are_lost_said_twice_or_heard_otherwise(heard: str, found: Words) -> None:
    assert words(WANTED, heard.split()) == found


@pytest.mark.parametrize(
    ("ranges", "charged_ms", "twice"),
    [
        ([(0, 1000), (1000, 3000)], 3000, 0),
        ([(1000, 3000), (0, 1000)], 3000, 0),  # in whatever order they were recorded
        ([(0, 1000), (1000, 2000)], 2000, 0),  # less than was sent is not twice
        ([(0, 2000), (1000, 3000)], 3000, 1000),
        ([(0, 3000), (500, 600)], 3000, 100),
        ([(0, 1000), (1000, 3500)], 3500, 500),  # more than was sent
        ([(0, 3000)], 3001, 1),  # charged, but not recorded
        ([], 0, 0),
    ],
)
def test_what_was_billed_twice(ranges: list[tuple[int, int]], charged_ms: int, twice: int) -> None:
    assert double_billed_ms(ranges, charged_ms, 3000) == twice
