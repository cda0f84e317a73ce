"""Ranges in any order, repeated and overlapping, into a real PostgreSQL: what is stored is their union."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from metering import recording
from metering.intervals import Range, size, union
from metering.ledger.errors import RecordingStuck
from metering.ledger.tests.make import stored, usage
from metering.models import Unposted, UsageEvent
from metering.recording import record
from metering.tests.at_once import run_at_once
from tenants.scope import staff_scope, tenant_scope


def ranges(household: Any, stream: str = "s") -> list[Range]:
    with tenant_scope(household.tenant.id):
        rows = UsageEvent.objects.filter(tenant_id=household.tenant.id, stream=stream)
        return sorted(rows.values_list("from_ms", "to_ms"))


def is_consistent(household: Any) -> bool:
    """Disjoint, named by where they begin, and each waiting to be posted, once."""
    with tenant_scope(household.tenant.id):
        rows = UsageEvent.objects.filter(tenant_id=household.tenant.id)
        assert all(row.event_id == f"{row.stream}:{row.from_ms}" for row in rows)
        assert {row.pk for row in rows} == {row.pk for row in Unposted.objects.all()}
    found = ranges(household)
    assert sum(end - start for start, end in found) == sum(end - start for start, end in union(found))
    return True


def test_a_repeat_is_stored_once_and_of_an_overlap_only_what_is_new(acme: Any, rival: Any) -> None:
    assert record([usage(acme, 0, 5000), usage(acme, 0, 5000), usage(rival, 0, 3000)]) == 2
    assert record([usage(acme, 0, 5000)]) == 0
    assert record([usage(acme, 4000, 9000), usage(rival, 0, 3000)]) == 1
    assert stored(acme) == [("s:0", 0, 5000), ("s:5000", 5000, 9000)]
    assert stored(rival) == [("s:0", 0, 3000)]
    assert is_consistent(acme)


def test_one_that_covers_many_fills_what_is_between_them(acme: Any) -> None:
    record([usage(acme, 10, 20), usage(acme, 30, 40)])
    assert record([usage(acme, 0, 50)]) == 3
    assert ranges(acme) == [(0, 10), (10, 20), (20, 30), (30, 40), (40, 50)]
    assert is_consistent(acme)


def test_of_two_with_one_id_the_longer_counts_in_either_order(acme: Any) -> None:
    record([usage(acme, 0, 5), usage(acme, 0, 9)])
    record([usage(acme, 0, 9, stream="t")])
    record([usage(acme, 0, 5, stream="t")])
    record([usage(acme, 0, 5, stream="u")])
    record([usage(acme, 0, 9, stream="u")])
    assert [union(ranges(acme, stream)) for stream in "stu"] == [[(0, 9)]] * 3


def test_of_two_with_one_id_the_longer_may_overlap_what_the_shorter_does_not(acme: Any) -> None:
    record([usage(acme, 8, 10)])
    assert record([usage(acme, 0, 5), usage(acme, 0, 12)]) == 3
    assert ranges(acme) == [(0, 5), (5, 8), (8, 10), (10, 12)]
    assert is_consistent(acme)


def test_a_part_keeps_what_the_event_said(acme: Any) -> None:
    at = timezone.now() - timedelta(hours=3)
    record([usage(acme, 0, 5)])
    record([usage(acme, 0, 9, at=at, tags=("a", 'b "c"'), source="inference_log", kind="recorded")])
    with tenant_scope(acme.tenant.id):
        row = UsageEvent.objects.get(from_ms=5)
    assert (row.processed_at, row.tags, row.source, row.kind) == (
        at,
        ["a", 'b "c"'],
        "inference_log",
        "recorded",
    )


def test_a_time_that_cannot_be_is_set_right(acme: Any) -> None:
    now = timezone.now()
    for place, said in enumerate(
        (now + timedelta(minutes=4), now + timedelta(minutes=6), datetime(1, 1, 1, tzinfo=UTC), None)
    ):
        event = usage(acme, place, place + 1, at=said)
        record([event if said else recording.replace(event, processed_at="")])
    with tenant_scope(acme.tenant.id):
        ahead, far_ahead, long_ago, unsaid = UsageEvent.objects.order_by("from_ms")
    assert ahead.processed_at == now + timedelta(minutes=4)
    assert abs(far_ahead.processed_at - now) < timedelta(minutes=2)
    assert long_ago.processed_at.year == 2020
    assert abs(unsaid.processed_at - now) < timedelta(minutes=2)


def test_it_works_inside_a_tenants_scope_and_a_staff_scope(acme: Any, rival: Any) -> None:
    with tenant_scope(acme.tenant.id):
        assert record([usage(acme, 0, 5), usage(acme, 3, 9)]) == 2
    with staff_scope():
        assert record([usage(acme, 8, 10), usage(rival, 0, 5), usage(rival, 4, 6)]) == 3
    assert (union(ranges(acme)), union(ranges(rival))) == ([(0, 10)], [(0, 6)])


def test_no_events_are_no_work(acme: Any) -> None:
    assert record([]) == 0


PIECES = st.lists(
    st.lists(
        st.tuples(st.sampled_from("st"), st.integers(0, 30), st.integers(1, 12)), min_size=1, max_size=6
    ),
    min_size=1,
    max_size=5,
)


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(batches=PIECES)
def test_any_order_repetition_and_overlap_gives_the_union(
    acme: Any, rival: Any, batches: list[list[tuple[str, int, int]]]
) -> None:
    new = uuid4().hex  # the streams of this example
    for household in (acme, rival):
        for batch in batches:
            record(usage(household, at, at + long, stream=stream + new) for stream, at, long in batch)
        for stream in "st":
            said = [(at, at + long) for batch in batches for name, at, long in batch if name == stream]
            found = ranges(household, stream + new)
            assert union(found) == union(said)
            assert size(found) == sum(end - start for start, end in found)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(2))
def test_many_at_once_give_the_union_and_nobody_waits_for_ever(acme: Any, rival: Any, seed: int) -> None:
    """Eight threads, each with its own cut of the same streams, in its own order, with real transactions."""
    streams = [f"s{number}" for number in range(6)]

    def batches(random: Random) -> list[list[Any]]:
        events = [
            usage(household, start, start + random.randint(1, 40), stream=stream)
            for household in (acme, rival)
            for stream in streams
            for start in random.sample(range(200), 12)
        ]
        random.shuffle(events)
        return [events[at : at + 30] for at in range(0, len(events), 30)]

    plans = [batches(Random(seed * 100 + number)) for number in range(8)]
    run_at_once([lambda mine=mine: [record(batch) for batch in mine] for mine in plans])
    for household in (acme, rival):
        for stream in streams:
            said = [
                (event.from_ms, event.to_ms)
                for batches_ in plans
                for batch in batches_
                for event in batch
                if event.tenant == str(household.tenant.id) and event.stream == stream
            ]
            assert union(ranges(household, stream)) == union(said)
        assert is_consistent(household)


@pytest.mark.django_db(transaction=True)
def test_an_overlap_with_what_is_not_committed_yet_waits_and_is_clipped(acme: Any) -> None:
    first_is_in, go_on = threading.Event(), threading.Event()

    def first() -> None:
        with staff_scope():
            record([usage(acme, 10, 20)])
            first_is_in.set()
            go_on.wait(30)

    def second() -> None:
        assert first_is_in.wait(30)
        record([usage(acme, 0, 30)])

    def release() -> None:
        assert first_is_in.wait(30)
        wait_for_a_lock()
        go_on.set()

    run_at_once([first, second, release])
    assert union(ranges(acme)) == [(0, 30)]
    assert is_consistent(acme)


def wait_for_a_lock() -> None:
    """Until somebody waits for another's transaction."""
    with connection.cursor() as cursor:
        for _ in range(3000):
            cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype <> 'relation'")
            if cursor.fetchone():
                return
            cursor.execute("SELECT pg_sleep(0.01)")
    raise AssertionError("nobody waits")


def test_what_never_comes_to_rest_is_given_up_by_name(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    record([usage(acme, 0, 10)])
    # As if each time somebody else had stored the part before us.
    monkeypatch.setattr(recording, "_store", lambda events: set())
    with pytest.raises(RecordingStuck):
        record([usage(acme, 0, 20)])
