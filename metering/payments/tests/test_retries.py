from __future__ import annotations

from datetime import timedelta

import pytest

from metering.payments import retries


@pytest.mark.parametrize(
    ("attempts", "retry_after", "least", "most"),
    [
        (1, 0, 1, 2),
        (2, 0, 1, 4),
        (5, 0, 1, 32),
        (30, 0, 1, 900),
        (1000, 0, 1, 900),
        (1, 7, 7, 7),
        (5, 7, 7, 32),
        (1, 3600, 3600, 3600),
    ],
)
def test_pauses_are_by_chance_up_to_a_quarter_of_an_hour_and_never_shorter_than_asked_for(
    attempts, retry_after, least, most, monkeypatch
):
    for chance, seconds in ((0.0, least), (1.0, most)):
        monkeypatch.setattr(retries, "chance", lambda chance=chance: chance)
        assert retries.pause(attempts, retry_after) == timedelta(seconds=seconds)


def test_a_replacement_has_a_name_of_its_own_that_is_always_the_same():
    first = retries.replacement("acme-ms-1-2-2026112012")
    assert first == "acme-ms-1-2-2026112012-r1"
    assert retries.replacement(first) == "acme-ms-1-2-2026112012-r2"
    assert [retries.replacements(name) for name in ("acme-ms-1-2", first)] == [0, 1]


def test_the_longest_name_is_taken_by_the_provider():
    longest = f"{'a' * 32}-amount-{2**63 - 1}-{2**63 - 1}-2026112012-r3"
    assert len(longest) <= 100
