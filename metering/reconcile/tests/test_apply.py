from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import DataError, OperationalError

from metering import reconcile
from metering.models.reconciliation import Action, DifferenceKind
from metering.reconcile import apply
from metering.reconcile.apply import Found, allowed, joined
from metering.reconcile.compare import CREDITED, DOUBLE, LOST, RAISED, REPLAYED, WAITING, Finding
from metering.reconcile.tests.book import DAY, NOON, ledger, noted, ship, told, use

ACME, RIVAL = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("action", "conservative", "dry_run", "done"),
    [
        (REPLAYED, False, False, Action.REPLAYED),
        (REPLAYED, True, False, Action.NONE),
        (REPLAYED, False, True, Action.NONE),
        (CREDITED, False, False, Action.CREDITED),
        (CREDITED, True, False, Action.CREDITED),
        (CREDITED, True, True, Action.NONE),
        (WAITING, True, True, Action.WAITING),
        (RAISED, True, True, Action.RAISED),
    ],
)
def test_what_is_done(action: str, conservative: bool, dry_run: bool, done: Action) -> None:
    kind = DOUBLE if action == CREDITED else LOST
    found = Finding(kind, action, ACME, "s", 0, 500)
    assert allowed(found, conservative=conservative, dry_run=dry_run) is done


def test_neighbours_with_the_same_story_are_one() -> None:
    one = Found(ACME, DifferenceKind.LOST, Action.REPLAYED, "s", 0, 500, 500)
    rest = [
        replace(one, from_ms=500, to_ms=900, ms=400),
        replace(one, from_ms=950, to_ms=1000, ms=50),
        replace(one, from_ms=1000, to_ms=1001, ms=1, action=Action.WAITING),
        replace(one, from_ms=1001, to_ms=1002, ms=1, tenant=RIVAL),
    ]
    assert joined([one, *rest]) == [replace(one, to_ms=900, ms=900), *rest[1:]]
    assert joined([]) == []


def test_it_does_not_run_after_usage_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    posted = [apply.POST_AT_ONCE, 3, 2, 1]  # it waited; it came while the others were posted

    def post_due(tenant: UUID, limit: int) -> int:
        return posted.pop(0)

    monkeypatch.setattr(apply, "post_due", post_due)
    apply.post(ACME)
    assert posted == [2, 1]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "error", [OperationalError("the lock was not to be had"), ValueError("a counter is below 0")]
)
def test_one_tenants_trouble_holds_up_no_other_and_is_raised(
    error: Exception, acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for house in (acme, rival):
        name = house.tenant.slug
        ship(house, name, (0, 100))
        use(house, name, (0, 300))
    real = apply.append

    def fails(tenant: UUID, entries: Any) -> Any:
        if tenant == acme.tenant.id and entries:
            raise error
        return real(tenant, entries)

    monkeypatch.setattr(apply, "append", fails)
    reconcile.run(DAY, now=NOON + timedelta(hours=2))
    assert (ledger(acme, "acme"), ledger(rival, "rival")) == (300, 100)
    assert told(noted(open=True)) == [("double", "raised", "acme", 100, 300)]
    monkeypatch.undo()
    reconcile.run(DAY, now=NOON + timedelta(hours=2))
    assert ledger(acme, "acme") == 100
    assert noted(open=True) == []


@pytest.mark.django_db
def test_one_tenants_log_that_cannot_be_replayed_holds_up_no_other(
    acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for house in (acme, rival):
        ship(house, house.tenant.slug, (0, 500))
    real = apply.services.record

    def fails(events: Any) -> int:
        if any(one.tenant == str(acme.tenant.id) for one in events):
            raise DataError("value too long")
        return real(events)

    monkeypatch.setattr(apply.services, "record", fails)
    reconcile.run(DAY, now=NOON + timedelta(hours=2))
    assert (ledger(acme, "acme"), ledger(rival, "rival")) == (0, 500)
    assert told(noted(open=True)) == [("lost", "raised", "acme", 0, 500)]
