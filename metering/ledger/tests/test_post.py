"""Usage into the ledger, on a real PostgreSQL, with two tenants in it."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from metering import periods
from metering.ledger.accounts import change, locked_account
from metering.ledger.post import SLICE, post_due
from metering.ledger.tests.make import account, amounts, counters, entries, priced, proved, usage
from metering.models import Invoice, Unposted
from metering.recording import record
from tenants import services
from tenants.models import AuditEntry, Plan
from tenants.scope import staff_scope, tenant_scope

ODD = ("call", 'a "b"', "\\ ,{}", "", "ü")


def a_slice_ago() -> datetime:
    """Well inside of one, so that a second of it is in the same."""
    now = timezone.now() - SLICE
    return now.replace(minute=now.minute // 15 * 15, second=1, microsecond=0)


def test_what_touches_becomes_one_entry_and_is_charged_once(acme: Any, rival: Any) -> None:
    priced(acme)
    at = a_slice_ago()
    record(
        [
            usage(acme, 5000, 7000, at=at + timedelta(seconds=5), tags=ODD),
            usage(acme, 0, 5000, at=at, tags=ODD),
        ]
    )
    record([usage(rival)])
    assert post_due() == 3
    assert post_due() == 0
    (entry,) = entries(acme)
    assert (entry.from_ms, entry.to_ms, entry.ms, entry.amount) == (0, 7000, 7000, Decimal("0.007000"))
    assert (entry.processed_at, tuple(entry.tags)) == (at, ODD)
    assert (entry.project_id, entry.key_id, entry.model) == (acme.project.id, acme.key.id, "m")
    assert amounts(rival) == [Decimal("0.06")]
    assert account(acme).balance == Decimal("-0.007000")
    assert proved(acme)
    assert proved(rival)


@pytest.mark.parametrize(
    "differs",
    [
        {"from_ms": 5001},
        {"stream": "s.1", "from_ms": 5000},
        {"model": "n"},
        {"region": "other"},
        {"tags": ()},
        {"kind": "recorded"},
        {"project": "00000000-0000-4000-8000-000000000000"},
        {"at": "later"},
    ],
)
def test_what_differs_stays_apart(acme: Any, differs: dict[str, Any]) -> None:
    at = a_slice_ago()
    changes = {"from_ms": 5000, "at": at, **differs}
    if changes["at"] == "later":
        changes["at"] = at + SLICE
    record([usage(acme, 0, 5000, at=at), usage(acme, to_ms=9000, **changes)])
    post_due()
    assert [entry.ms for entry in entries(acme)] == [5000, 9000 - changes["from_ms"]]
    assert [entry.request_id for entry in entries(acme)] == ["s", "s"]


def test_without_prices_usage_costs_nothing_and_is_counted(acme: Any) -> None:
    record([usage(acme)])
    assert post_due(acme.tenant.id) == 1
    (entry,) = entries(acme)
    assert (entry.amount, entry.waived, entry.price_id, entry.ms) == (0, 0, None, 60_000)
    assert proved(acme)


def test_tiers_and_included_minutes_run_through_the_month_and_begin_anew(
    acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiers = [{"up_to_ms": 60_000, "per_minute": "0.6"}, {"up_to_ms": None, "per_minute": "0.06"}]
    priced(acme, [{"label": "Audio", "included_ms": 60_000, "tiers": tiers}])
    now = datetime(2026, 11, 1, 12, tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: now)
    for month, start in ((10, 0), (11, 3)):
        at = datetime(2026, month, 31 if month == 10 else 1, 11, tzinfo=UTC)
        minutes = range(start, start + 3)
        record(
            usage(acme, m * 60_000, m * 60_000 + 60_000, at=at + timedelta(minutes=m), tags=(str(m),))
            for m in minutes
        )
    post_due()
    assert amounts(acme) == [Decimal(0), Decimal("0.6"), Decimal("0.06")] * 2
    each = (180_000, Decimal("0.66"), Decimal(0))
    assert counters(acme) == {"2026-10": each, "2026-11": each}
    assert account(acme).charged == Decimal("0.66")
    assert proved(acme)


def test_a_limit_leaves_the_rest_for_the_next_turn(acme: Any) -> None:
    record([usage(acme, ms, ms + 1) for ms in range(0, 20, 2)])
    assert [post_due(acme.tenant.id, limit=4) for _ in range(4)] == [4, 4, 2, 0]
    assert len(entries(acme)) == 10


def test_the_version_in_force_when_it_was_processed_decides_and_nothing_is_rated_again(acme: Any) -> None:
    now = timezone.now()
    priced(acme, since=now - timedelta(days=1))
    double = [{"label": "Audio", "tiers": [{"up_to_ms": None, "per_minute": "0.12"}]}]
    priced(acme, double, since=now - timedelta(hours=1), number=2)
    times = [now - timedelta(days=1, minutes=1), now - timedelta(hours=1, minutes=1), now]
    record([usage(acme, place * 60_000, place * 60_000 + 60_000, at=at) for place, at in enumerate(times)])
    post_due()
    assert amounts(acme) == [Decimal(0), Decimal("0.06"), Decimal("0.12")]


def test_the_plan_a_tenant_was_on_then_decides(acme: Any) -> None:
    priced(acme)
    other = services.create_plan("Other", "other")
    services.set_plan(acme.tenant, other)
    with tenant_scope(acme.tenant.id):
        moved = AuditEntry.objects.get(action="tenant.plan_changed").at
    at = moved - timedelta(microseconds=1)
    record([usage(acme, 0, 60_000, at=at), usage(acme, 60_000, 120_000, at=moved)])
    post_due()
    assert amounts(acme) == [Decimal("0.06"), Decimal(0)]
    with staff_scope():
        assert Plan.objects.get(slug="other").versions.count() == 0


def test_an_account_takes_the_currency_of_its_first_prices_and_keeps_it(
    acme: Any, caplog: pytest.LogCaptureFixture
) -> None:
    record([usage(acme, 0, 1000)])
    post_due()
    priced(acme, since=timezone.now(), currency="EUR")
    record([usage(acme, 1000, 2000)])
    post_due()
    assert [(entry.currency, entry.amount) for entry in entries(acme)] == [
        ("USD", Decimal(0)),
        ("EUR", Decimal("0.001")),
    ]
    dollars = services.create_plan("Dollars", "dollars")
    services.set_plan(acme.tenant, dollars)
    acme.tenant.plan = dollars
    priced(acme, currency="USD")
    record([usage(acme, 2000, 3000)])
    with caplog.at_level(logging.ERROR):
        post_due()
    assert [(entry.currency, entry.amount) for entry in entries(acme)][2:] == [("EUR", Decimal(0))]
    assert "EUR" in caplog.text
    assert proved(acme)


def late(household: Any, now: datetime) -> tuple[date, date]:
    """Usage of the last minute of last month, posted at `now`: its period, and that of now."""
    month = periods.period_of(now, "UTC")
    record([usage(household, at=month.starts_at - timedelta(minutes=1))])
    post_due()
    (entry,) = entries(household)
    return entry.period, month.first_day


@pytest.mark.parametrize(("after", "in_its_own"), [(timedelta(hours=47), True), (timedelta(hours=48), False)])
def test_late_usage_is_charged_in_its_month_until_that_is_frozen(
    acme: Any, monkeypatch: pytest.MonkeyPatch, after: timedelta, in_its_own: bool
) -> None:
    priced(acme)
    now = datetime(2026, 11, 1, tzinfo=UTC) + after
    monkeypatch.setattr(timezone, "now", lambda: now)
    period, this_month = late(acme, now)
    assert period == (date(2026, 10, 1) if in_its_own else this_month)
    (entry,) = entries(acme)
    assert entry.processed_at.month == 10
    assert list(counters(acme)) == [f"{period:%Y-%m}"]
    assert proved(acme)


def invoiced(household: Any, first_day: date) -> None:
    with tenant_scope(household.tenant.id):
        Invoice.objects.create(
            tenant=household.tenant, kind="invoice", number=f"T-{first_day}-{household.tenant.slug}",
            period=first_day, starts_at=timezone.now(), ends_at=timezone.now(), currency="USD", ms=0,
            total=0, first_seq=1, last_seq=1, document={}, final_at=timezone.now(),
        )  # fmt: skip


def test_a_month_that_is_invoiced_is_closed_even_before_it_is_frozen(
    acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 11, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: now)
    invoiced(acme, date(2026, 10, 1))
    assert late(acme, now) == (date(2026, 11, 1), date(2026, 11, 1))
    assert late(rival, now) == (date(2026, 10, 1), date(2026, 11, 1))


def test_months_are_those_of_the_accounts_time_zone(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 10, 15, tzinfo=UTC))
    change(acme.tenant.id, actor=None, time_zone="America/New_York")
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 11, 1, 12, tzinfo=UTC))
    edge = datetime(2026, 11, 1, 4, tzinfo=UTC)  # midnight in New York
    record([usage(acme, 0, 1, at=edge - timedelta(microseconds=1)), usage(acme, 1, 2, at=edge)])
    post_due()
    assert [entry.period.month for entry in entries(acme)] == [10, 11]


@pytest.mark.django_db(transaction=True)
def test_who_finds_a_ledger_locked_passes_it_by(acme: Any, rival: Any) -> None:
    record([usage(acme), usage(rival)])
    post_due()
    record([usage(acme, 60_000, 60_001), usage(rival, 60_000, 60_001)])
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with tenant_scope(acme.tenant.id):
                locked_account(acme.tenant.id)
                held.set()
                let_go.wait(30)
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    try:
        assert post_due() == 1
        assert [len(entries(acme)), len(entries(rival))] == [1, 2]
    finally:
        let_go.set()
        thread.join()
    assert post_due() == 1


@pytest.mark.django_db(transaction=True)
def test_many_who_post_at_once_charge_each_event_once(acme: Any, rival: Any) -> None:
    priced(acme)
    record(usage(household, ms, ms + 7) for household in (acme, rival) for ms in range(0, 2000, 10))
    run_at_once(6, lambda: drain(12))
    for household in (acme, rival):
        assert sum(entry.ms for entry in entries(household)) == 200 * 7
        assert sum(amounts(household)) == Decimal("0.0014")
        assert proved(household)
    with staff_scope():
        assert Unposted.objects.count() == 0


def drain(limit: int) -> None:
    while post_due(limit=limit) or still_there():
        pass


def still_there() -> bool:
    with staff_scope():
        return Unposted.objects.exists()


def run_at_once(many: int, work: Any) -> None:
    errors: list[BaseException] = []
    barrier = threading.Barrier(many)

    def run() -> None:
        try:
            barrier.wait(30)
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
