from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError

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


@pytest.mark.django_db
def test_one_tenants_trouble_holds_up_no_other_and_is_raised(
    acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for house in (acme, rival):
        name = house.tenant.slug
        ship(house, name, (0, 100))
        use(house, name, (0, 300))
    real = apply.append

    def fails(tenant: UUID, entries: Any) -> Any:
        if tenant == acme.tenant.id:
            raise OperationalError("the lock was not to be had")
        return real(tenant, entries)

    monkeypatch.setattr(apply, "append", fails)
    reconcile.run(DAY, now=NOON + timedelta(hours=2))
    assert (ledger(acme, "acme"), ledger(rival, "rival")) == (300, 100)
    assert told(noted(open=True)) == [("double", "raised", "acme", 100, 300)]
    monkeypatch.undo()
    reconcile.run(DAY, now=NOON + timedelta(hours=2))
    assert ledger(acme, "acme") == 100
    assert noted(open=True) == []
