from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_worker.scheduler import (
    RECORDED_PATIENCE_S,
    RECORDED_ROWS,
    RECOVER_AFTER_STEPS,
    BatchLimit,
    Candidate,
    Wait,
    pick,
)


def live(key: str, tenant: str, since: float) -> Candidate[str]:
    return Candidate(key, tenant, True, since)


def recorded(key: str, tenant: str, since: float) -> Candidate[str]:
    return Candidate(key, tenant, False, since)


def test_all_ride_when_there_is_room_the_oldest_first() -> None:
    assert pick([live("b", "acme", 2.0), recorded("a", "rival", 1.0)], 3.0, 2) == ["a", "b"]


def test_the_oldest_deadline_rides_first() -> None:
    assert pick([live("late", "acme", 5.0), live("early", "acme", 1.0)], 6.0, 1) == ["early"]


def test_a_tenant_with_many_streams_delays_itself_only() -> None:
    many = [live(f"many-{number}", "rival", number / 100) for number in range(50)]
    assert "one" in pick([*many, live("one", "acme", 9.0)], 9.0, 2)


def test_live_rides_before_recorded_until_that_has_waited_long() -> None:
    streams = [recorded("file", "acme", 0.0), live("call", "acme", 1.0)]
    assert pick(streams, 1.0, 1) == ["call"]
    assert pick(streams, RECORDED_PATIENCE_S, 1) == ["file"]


def test_few_rows_of_recorded_audio_ride_at_once_the_oldest_first() -> None:
    files = [recorded(f"file-{number}", "acme", number / 10) for number in range(10)]
    picked = pick([*reversed(files), live("call", "rival", 5.0)], 5.0, 64)
    assert picked == [*(f"file-{number}" for number in range(RECORDED_ROWS)), "call"]


def test_a_tenant_with_many_recordings_delays_itself_only() -> None:
    many = [recorded(f"many-{number}", "rival", number / 100) for number in range(50)]
    assert "one" in pick([*many, recorded("one", "acme", 9.0)], 9.0, 64)


def test_recordings_that_have_waited_long_take_one_place_of_the_live_and_no_more() -> None:
    files = [recorded(f"file-{number}", f"tenant-{number}", number / 10) for number in range(8)]
    calls = [live(f"call-{number}", "acme", 99.0) for number in range(8)]
    assert pick([*files, *calls], 100.0, 4) == ["file-0", "call-0", "call-1", "call-2"]


CANDIDATES = st.lists(
    st.builds(Candidate, st.uuids(), st.sampled_from("abcd"), st.booleans(), st.floats(0, 10)),
    max_size=40,
    unique_by=lambda candidate: candidate.key,
)


@given(CANDIDATES, st.integers(1, 50))
def test_room_is_used_and_nobody_rides_twice(candidates: list[Candidate[object]], room: int) -> None:
    picked = pick(candidates, 10.0, room)
    live = sum(candidate.live for candidate in candidates)
    riders = live + min(RECORDED_ROWS, len(candidates) - live)
    assert len(picked) == len(set(picked)) == min(room, riders)


@given(CANDIDATES, st.integers(1, 50))
def test_recorded_audio_costs_live_streams_one_place_at_most(
    candidates: list[Candidate[object]], room: int
) -> None:
    picked = set(pick(candidates, 20.0, room))
    calls = [candidate.key for candidate in candidates if candidate.live]
    assert sum(call in picked for call in calls) >= min(len(calls), room - 1)


@given(CANDIDATES, st.integers(1, 50))
def test_no_tenant_gets_two_more_than_one_that_was_left_out(
    candidates: list[Candidate[object]], room: int
) -> None:
    equal = [Candidate(c.key, c.tenant, True, c.since) for c in candidates]
    picked = set(pick(equal, 10.0, room))
    rides = {tenant: [c.key in picked for c in equal if c.tenant == tenant] for tenant in "abcd"}
    most = max(sum(taken) for taken in rides.values())
    assert all(most - sum(taken) <= 1 for taken in rides.values() if not all(taken))


@pytest.mark.parametrize(
    ("active", "seconds"), [(1, 0.005), (9, 0.005), (10, 0.015), (49, 0.015), (50, 0.04), (500, 0.04)]
)
def test_the_wait_grows_with_the_streams(active: int, seconds: float) -> None:
    assert Wait().seconds(active) == seconds


def test_out_of_memory_halves_what_was_tried() -> None:
    limit = BatchLimit(64)
    limit.out_of_memory(48)
    assert limit.size == 24
    limit.out_of_memory(24)
    assert limit.size == 12
    for _ in range(10):
        limit.out_of_memory(limit.size)
    assert limit.size == 1


def test_the_limit_recovers_slowly_and_fully() -> None:
    limit = BatchLimit(8)
    limit.out_of_memory(8)
    sizes = []
    for _ in range(6 * RECOVER_AFTER_STEPS):
        limit.succeeded()
        sizes.append(limit.size)
    assert sizes[RECOVER_AFTER_STEPS - 2] == 4
    assert sizes[RECOVER_AFTER_STEPS - 1] == 5
    assert sizes[-1] == 8
