from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_worker.engines.base import RECORDED_ROWS, EngineInfo
from inference_worker.scheduler import (
    RECORDED_PATIENCE_S,
    RECOVER_AFTER_STEPS,
    BatchLimit,
    Ready,
    Turns,
    Wait,
)
from inference_worker.tests.simulation import CHUNK_S, Cost, simulate

Row = tuple[str, str, bool, float]  # key, tenant, live, since


def live(key: str, tenant: str, since: float) -> Row:
    return key, tenant, True, since


def recorded(key: str, tenant: str, since: float) -> Row:
    return key, tenant, False, since


def engine(**more: Any) -> EngineInfo:
    return EngineInfo("x", "x", "1", "x", ("en",), 2560, 64, 64, **more)


def ready(rows: list[Row]) -> Ready[str]:
    waiting: Ready[str] = Ready()
    for key, tenant, is_live, since in rows:
        (waiting.live if is_live else waiting.recorded).add(key, tenant, since)
    return waiting


def pick(rows: list[Row], now: float, room: int) -> list[str]:
    return [key for key, _ in ready(rows).take(now, room)]


def test_all_ride_when_there_is_room() -> None:
    waiting = ready([live("b", "acme", 2.0), recorded("a", "rival", 1.0)])
    assert sorted(waiting.take(3.0, 2)) == [("a", 1.0), ("b", 2.0)]
    assert len(waiting) == 0
    assert waiting.take(3.0, 2) == []


def test_the_oldest_deadline_rides_first() -> None:
    assert pick([live("late", "acme", 5.0), live("early", "acme", 1.0)], 6.0, 1) == ["early"]
    assert pick([live("late", "acme", 5.0), live("early", "rival", 1.0)], 6.0, 1) == ["early"]


def test_a_tenant_with_many_streams_delays_itself_only() -> None:
    many = [live(f"many-{number}", "rival", number / 100) for number in range(50)]
    assert "one" in pick([*many, live("one", "acme", 9.0)], 9.0, 2)


def test_turns_go_on_over_steps_that_have_room_for_one() -> None:
    """The oldest alone would ride for ever: what waits of a tenant that sends too much is always older."""
    turns: Turns[str] = Turns()
    for number in range(50):
        turns.add(f"many-{number}", "rival", number / 100)
    turns.take(1)
    turns.add("one", "acme", 9.0)
    assert turns.take(1) == [("one", 9.0)]
    turns.add("two", "acme", 9.1)
    assert turns.take(1) != [("two", 9.1)]
    assert turns.take(1) == [("two", 9.1)]


def test_who_was_away_is_owed_nothing() -> None:
    turns: Turns[str] = Turns()
    for number in range(100):
        turns.add(f"steady-{number}", "steady", 0.0)
    for _ in range(50):
        turns.take(1)
    for number in range(10):
        turns.add(f"back-{number}", "back", 1.0)
    riders = Counter(key.split("-")[0] for _ in range(10) for key, _ in turns.take(1))
    assert riders == {"steady": 5, "back": 5}


def test_one_that_left_rides_no_more() -> None:
    turns: Turns[str] = Turns()
    for key in "abc":
        turns.add(key, "acme", 1.0)
    turns.discard("b", "acme")
    turns.discard("b", "acme")
    turns.discard("x", "nobody")
    assert len(turns) == 2
    assert sorted(key for key, _ in turns.take(9)) == ["a", "c"]


def test_live_rides_before_recorded_until_that_has_waited_long() -> None:
    streams = [recorded("file", "acme", 0.0), live("call", "acme", 1.0)]
    assert pick(streams, 1.0, 1) == ["call"]
    assert pick(streams, RECORDED_PATIENCE_S, 1) == ["file"]


def test_few_rows_of_recorded_audio_ride_at_once_the_oldest_first() -> None:
    files = [recorded(f"file-{number}", "acme", number / 10) for number in range(10)]
    picked = pick([*reversed(files), live("call", "rival", 5.0)], 5.0, 64)
    assert picked == ["call", *(f"file-{number}" for number in range(RECORDED_ROWS))]


def test_recorded_audio_fills_the_rows_that_the_engine_would_compute_anyhow() -> None:
    rows = [recorded(f"file-{number}", "acme", 1.0) for number in range(50)]
    rows += [live(f"call-{number}", "acme", 1.0) for number in range(20)]
    for room, bucket, expected in ((64, 32, 32), (25, 32, 25), (64, 22, 24), (20, 32, 20)):
        picked = ready(rows).take(1.0, room, engine(buckets=(8, bucket)).recorded_beside)
        assert len(picked) == expected
        assert sum(key.startswith("call") for key, _ in picked) == 20


def test_an_engine_says_how_many_rows_it_computes_and_how_many_may_be_recorded() -> None:
    padding = engine(buckets=(1, 2, 4, 8))
    assert [padding.bucket(rows) for rows in (0, 1, 3, 8, 9)] == [1, 1, 4, 8, 9]
    assert [engine().bucket(rows) for rows in (0, 1, 9)] == [0, 1, 9]
    assert engine(buckets=(8,), recorded_rows=2).recorded_beside(3) == 5
    assert engine(buckets=(8,), recorded_rows=2).recorded_beside(8) == 2


def test_a_tenant_with_many_recordings_delays_itself_only() -> None:
    many = [recorded(f"many-{number}", "rival", number / 100) for number in range(50)]
    assert "one" in pick([*many, recorded("one", "acme", 9.0)], 9.0, 64)


def test_recordings_that_have_waited_long_take_one_place_of_the_live_and_no_more() -> None:
    files = [recorded(f"file-{number}", f"tenant-{number}", number / 10) for number in range(8)]
    calls = [live(f"call-{number}", "acme", 99.0) for number in range(8)]
    assert pick([*files, *calls], 100.0, 4) == ["file-0", "call-0", "call-1", "call-2"]


ROWS = st.lists(
    st.tuples(st.uuids().map(str), st.sampled_from("abcd"), st.booleans(), st.floats(0, 10)),
    max_size=40,
    unique_by=lambda row: row[0],
)


@given(ROWS, st.integers(1, 50))
def test_room_is_used_and_nobody_rides_twice(rows: list[Row], room: int) -> None:
    waiting = ready(rows)
    picked = [key for key, _ in waiting.take(10.0, room)]
    alive = sum(row[2] for row in rows)
    riders = alive + min(RECORDED_ROWS, len(rows) - alive)
    assert len(picked) == len(set(picked)) == min(room, riders)
    assert len(waiting) == len(rows) - len(picked)
    rest = []
    while more := waiting.take(10.0, room):
        rest += [key for key, _ in more]
    assert sorted(picked + rest) == sorted(row[0] for row in rows)
    assert len(waiting) == 0


@given(ROWS, st.integers(1, 50))
def test_recorded_audio_costs_live_streams_one_place_at_most(rows: list[Row], room: int) -> None:
    picked = set(pick(rows, 20.0, room))
    calls = [key for key, _, is_live, _ in rows if is_live]
    assert sum(call in picked for call in calls) >= min(len(calls), room - 1)


@given(ROWS, st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_no_tenant_gets_two_more_than_one_that_was_left_out(rows: list[Row], rooms: list[int]) -> None:
    """Over any number of steps."""
    turns: Turns[str] = Turns()
    for key, tenant, _, since in rows:
        turns.add(key, tenant, since)
    picked = {key for room in rooms for key, _ in turns.take(room)}
    rides = {tenant: [row[0] in picked for row in rows if row[1] == tenant] for tenant in "abcd"}
    most = max(sum(taken) for taken in rides.values())
    assert all(most - sum(taken) <= 1 for taken in rides.values() if not all(taken))


@pytest.mark.parametrize(
    ("active", "seconds"), [(1, 0.005), (9, 0.005), (10, 0.015), (49, 0.015), (50, 0.04), (500, 0.04)]
)
def test_the_wait_grows_with_the_streams(active: int, seconds: float) -> None:
    assert Wait().seconds(active) == seconds


def test_the_wait_has_a_cap() -> None:
    assert [Wait(most_s=0.01).seconds(active) for active in (1, 10, 50)] == [0.005, 0.01, 0.01]


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


def test_a_tenant_with_two_streams_does_not_feel_one_with_two_hundred() -> None:
    """Twice as much comes as the engine can do. Every late result is of whoever sends too much."""
    streams, cost = {"many": 200, "few": 2}, Cost(0.008, 0.0015)
    waits = simulate(streams, 64, cost)
    assert waits.p95("few") <= CHUNK_S + waits.longest_step_s
    assert waits.p95("many") > 5.0
    # The oldest first, whoever's it is, would make both late.
    in_one_line = simulate(streams, 64, cost, queue_of=lambda tenant: "all")
    assert in_one_line.p95("few") > 5.0


def test_small_tenants_do_not_feel_more_large_ones_than_a_step_has_room_for() -> None:
    """Who waits of a large tenant is always older. A turn for each tenant within a step would not do."""
    large = {f"large-{number}": 50 for number in range(10)}
    small = {f"small-{number}": 2 for number in range(5)}
    waits = simulate({**large, **small}, 8, Cost(0.008, 0.0015))
    for tenant in small:
        assert waits.p95(tenant) <= CHUNK_S + waits.longest_step_s
        assert waits.rows[tenant] == pytest.approx(2 * 15.0 / CHUNK_S, rel=0.02)


def test_tenants_that_send_too_much_share_what_is_left_whatever_their_size() -> None:
    streams = {"small": 3, "large": 60, "larger": 120, "largest": 240}
    waits = simulate(streams, 16, Cost(0.008, 0.0015))
    assert waits.p95("small") <= CHUNK_S + waits.longest_step_s
    rows = [waits.rows[tenant] for tenant in ("large", "larger", "largest")]
    assert max(rows) - min(rows) <= 0.02 * max(rows)
    assert min(rows) > 3 * waits.rows["small"]


def test_with_room_for_all_nobody_waits_for_more_than_two_steps() -> None:
    waits = simulate({"many": 200, "few": 2}, 256, Cost(0.008, 0.0003))
    assert max(waits.p95("many"), waits.p95("few")) <= 2 * waits.longest_step_s <= CHUNK_S
