from __future__ import annotations

import random
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone

from metering import reconcile
from metering.ledger.append import NewEntry, append
from metering.ledger.post import post_due
from metering.models.ledger import EntryKind
from metering.reconcile import load
from metering.reconcile.compare import compare
from metering.reconcile.tests.book import DAY, NOON, ship, use

pytestmark = pytest.mark.django_db


def cut(rng: random.Random, end: int) -> list[tuple[int, int]]:
    edges = sorted({0, end, *(rng.randrange(end + 1) for _ in range(rng.randrange(4)))})
    return list(pairwise(edges))


def test_the_sets_in_postgresql_and_the_ranges_here_find_the_same_streams(acme: Any, rival: Any) -> None:
    """Whatever is lost, double, settled, credited, cut in other places or heard by two workers."""
    rng = random.Random(11)
    for number in range(60):
        house, name = rng.choice([acme, rival]), f"s{number}"
        end = rng.choice([700, 700, 900])
        ranges = [one for one in cut(rng, end) if rng.random() > 0.1]
        if ranges:
            ship(house, name, *ranges, settled=rng.choice([None, None, 700, 650]))
        if rng.random() < 0.3:
            ship(house, name, (rng.randrange(700), 700), epoch=2)
        told = [one for one in cut(rng, 700) if rng.random() > 0.1]
        if told:
            use(house, name, *told)
        if told and rng.random() < 0.3:
            start, stop = told[-1]
            back = NewEntry(
                EntryKind.CORRECTION, "a test", ms=start - stop, stream=name, from_ms=start, to_ms=stop
            )
            append(house.tenant.id, [back])
    everybody = load.tenants()
    names = [(house.tenant.id, f"s{number}") for house in (acme, rival) for number in range(60)]
    logs = load.logs(DAY, give_up=True)
    expected = {(one.tenant, one.name) for one in load.streams(names) if compare(one, logs)}
    assert set(load.differing(DAY, everybody)) == expected
    assert 10 < len(expected) < 50  # else it would say nothing
    reconcile.run(DAY, now=NOON + timedelta(days=3))
    left = {(one.tenant, one.name) for one in load.streams(names) if compare(one, logs)}
    assert set(load.differing(DAY, everybody)) == left


def test_what_is_posted_while_it_reads_is_not_taken_for_lost(
    acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(acme, "s", (0, 500))
    use(acme, "s", (0, 500), post=False)
    rows = load._rows

    def read(query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        if query in (load.ENTRIES, load.EVENTS):
            found = rows(query, parameters)
            post_due(acme.tenant.id)
            return found
        return rows(query, parameters)

    monkeypatch.setattr(load, "_rows", read)
    (one,) = load.streams([(acme.tenant.id, "s")])
    assert compare(one, load.logs(DAY, give_up=False)) == []


def test_a_worker_whose_clock_is_ahead_knows_nothing_of_the_future(acme: Any) -> None:
    ahead = timezone.now() + timedelta(hours=5)
    log = ship(acme, "s", (0, 500), until=ahead, closed=False)
    assert load.logs(DAY, give_up=False).by_id[log].complete_until < ahead - timedelta(hours=4)


def test_a_file_that_was_not_heard_of_since_is_of_long_ago(acme: Any) -> None:
    log = ship(acme, "s", (0, 500), closed=False)
    gone = ship(acme, "s", (500, 600))
    today = timezone.now().date()
    assert {one.heard for one in load.logs(today, give_up=False).by_id.values()} == {True}
    later = load.logs(today + timedelta(days=5), give_up=False).by_id
    assert (later[log].heard, gone in later) == (False, False)


def test_batches_are_whole() -> None:
    assert [list(one) for one in load.batches(range(5), 2)] == [[0, 1], [2, 3], [4]]


def test_a_day_is_of_utc() -> None:
    start, end = load.bounds(DAY)
    assert (start.isoformat(), end - start) == ("2026-11-20T00:00:00+00:00", timedelta(days=1))


def test_strangers_are_those_of_the_days_around(acme: Any, rival: Any) -> None:
    ship(acme, "s", (0, 500), at=NOON - timedelta(days=1))
    ship(acme, "long ago", (0, 500), at=NOON - timedelta(days=9))
    for name in ("s", "long ago", "mine"):
        use(rival, name, (0, 500))
    names = [(rival.tenant.id, name) for name in ("s", "long ago", "mine")]
    assert load.strangers(DAY, names) == {"s": sorted([acme.tenant.id, rival.tenant.id])}
    assert load.strangers(DAY, []) == {}
