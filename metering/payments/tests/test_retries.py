from __future__ import annotations

from datetime import timedelta

import pytest

from metering.payments import retries


@pytest.mark.parametrize(
    ("attempts", "retry_after", "seconds"),
    [(1, 0, 1), (2, 0, 2), (5, 0, 16), (30, 0, 900), (1000, 0, 900), (1, 7, 7), (5, 7, 16), (1, 3600, 3600)],
)
def test_pauses_double_to_a_quarter_of_an_hour(attempts, retry_after, seconds):
    assert retries.pause(attempts, retry_after) == timedelta(seconds=seconds)


def test_a_replacement_has_a_name_of_its_own_that_is_always_the_same():
    first = retries.replacement("acme-ms-1-2-2026112012")
    assert first == "acme-ms-1-2-2026112012-r1"
    assert retries.replacement(first) == "acme-ms-1-2-2026112012-r2"
    assert [retries.replacements(name) for name in ("acme-ms-1-2", first)] == [0, 1]


def test_the_longest_name_is_taken_by_the_provider():
    longest = f"{'a' * 32}-amount-{2**63 - 1}-{2**63 - 1}-2026112012-r3"
    assert len(longest) <= 100
