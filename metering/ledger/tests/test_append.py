from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from metering.ledger.accounts import change
from metering.ledger.append import NewEntry, append
from metering.ledger.errors import EntryMalformed
from metering.ledger.post import post_due
from metering.ledger.tests.make import account, amounts, counters, entries, priced, proved, usage
from metering.models import LedgerEntry
from metering.models.ledger import EntryKind
from metering.recording import record
from tenants.scope import staff_scope, tenant_scope


def credit(amount: str = "-10", **changes: Any) -> NewEntry:
    return NewEntry(**{"kind": EntryKind.CREDIT, "reason": "Paid", "amount": Decimal(amount), **changes})


def correction(start: int, end: int, **changes: Any) -> NewEntry:
    wanted = {"stream": "s", "from_ms": start, "to_ms": end, "ms": start - end, **changes}
    return NewEntry(EntryKind.CORRECTION, "Counted twice", **wanted)


def test_a_reference_counts_once_and_a_second_gives_back_the_first(acme: Any, rival: Any) -> None:
    (first,) = append(acme.tenant.id, [credit(reference="stripe:pi_1")])
    (again,) = append(acme.tenant.id, [credit("-20", reference="stripe:pi_1")])
    assert again.pk == first.pk
    twice = append(acme.tenant.id, [credit(reference="x"), credit(reference="x")])
    assert len(twice) == 1
    (theirs,) = append(rival.tenant.id, [credit("-1", reference="stripe:pi_1")])
    assert theirs.pk != first.pk
    assert (account(acme).balance, account(rival).balance) == (Decimal(20), Decimal(1))
    assert proved(acme)


def test_a_reference_of_money_is_its_own(acme: Any) -> None:
    (first,) = append(acme.tenant.id, [credit(reference="t")])
    append(acme.tenant.id, [credit(reference="t#2")])
    assert append(acme.tenant.id, [credit(reference="t")]) == [first]


def test_a_credit_is_no_charge_and_an_adjustment_is(acme: Any) -> None:
    append(acme.tenant.id, [credit(), NewEntry(EntryKind.ADJUSTMENT, "Set-up", amount=Decimal("2.5"))])
    assert (account(acme).balance, account(acme).charged) == (Decimal("7.5"), Decimal("2.5"))
    assert proved(acme)


def test_a_correction_gives_back_by_the_tier_the_total_stood_in(acme: Any) -> None:
    tiers = [{"up_to_ms": 60_000, "per_minute": "0.6"}, {"up_to_ms": None, "per_minute": "0.06"}]
    priced(acme, [{"label": "Audio", "tiers": tiers}])
    record([usage(acme, 0, 120_000)])
    post_due()
    (made,) = append(acme.tenant.id, [correction(0, 60_000)])
    # The first minute was the dear one, but what the month loses is its last.
    assert (made.amount, made.ms, made.from_ms, made.to_ms) == (Decimal("-0.06"), -60_000, 0, 60_000)
    assert made.price_id is not None
    assert [ms for ms, _, _ in counters(acme).values()] == [60_000]
    assert account(acme).charged == Decimal("0.6")
    assert proved(acme)


def test_what_is_not_counted_is_not_given_back(acme: Any, rival: Any) -> None:
    priced(acme)
    record([usage(acme, 0, 1000), usage(acme, 2000, 3000), usage(acme, 0, 9000, stream="s.1"), usage(rival)])
    post_due()
    made = append(acme.tenant.id, [correction(500, 2500, reference="r")])
    assert [(one.from_ms, one.to_ms, one.reference) for one in made] == [
        (500, 1000, "r"),
        (2000, 2500, "r#2"),
    ]
    assert append(acme.tenant.id, [correction(500, 2500, reference="r")]) == made
    assert append(acme.tenant.id, [correction(500, 2500)]) == []
    rest = append(acme.tenant.id, [correction(0, 3000), correction(0, 3000)])
    assert [(one.from_ms, one.to_ms) for one in rest] == [(0, 500), (2500, 3000)]
    assert sum(entry.ms for entry in entries(acme) if entry.stream == "s") == 0
    assert account(acme).charged == Decimal("0.009")
    assert append(rival.tenant.id, [correction(0, 10, stream="s.1")]) == []
    assert proved(acme)


def test_a_correction_of_a_closed_month_is_given_back_today_by_the_old_months_tiers(
    acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiers = [{"up_to_ms": 60_000, "per_minute": "0.6"}, {"up_to_ms": None, "per_minute": "0.06"}]
    priced(acme, [{"label": "Audio", "tiers": tiers}])
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 10, 20, tzinfo=UTC))
    record([usage(acme, 0, 120_000, at=datetime(2026, 10, 20, tzinfo=UTC))])
    post_due()
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 11, 20, tzinfo=UTC))
    record([usage(acme, 0, 10_000, stream="t", at=datetime(2026, 11, 20, tzinfo=UTC))])
    post_due()
    (made,) = append(acme.tenant.id, [correction(0, 60_000)])
    assert (made.amount, made.period.month, made.rated_in.month) == (Decimal("-0.06"), 11, 10)
    assert made.processed_at.month == 10
    assert {month: ms for month, (ms, _, _) in counters(acme).items()} == {
        "2026-10": 60_000,
        "2026-11": 10_000,
    }
    assert account(acme).charged == Decimal("0.04")
    assert proved(acme)


def test_a_correction_gives_back_first_what_was_waived(acme: Any) -> None:
    """Ten seconds of thirty were counted twice, and a cap let only 25 be charged: without them it is 20."""
    priced(acme)
    change(acme.tenant.id, actor=None, hard_cap=Decimal("0.025"))
    record([usage(acme, 0, 30_000)])
    post_due()
    assert [(one.amount, one.waived) for one in entries(acme)] == [(Decimal("0.025"), Decimal("0.005"))]
    (made,) = append(acme.tenant.id, [correction(20_000, 30_000)])
    assert (made.amount, made.waived) == (Decimal("-0.005"), Decimal("-0.005"))
    assert account(acme).charged == Decimal("0.02")
    assert counters(acme) == {f"{made.period:%Y-%m}": (20_000, Decimal("0.02"), Decimal(0))}
    assert proved(acme)


@pytest.mark.parametrize(
    "bad",
    [
        credit("0"),
        credit("1"),
        credit("-0.0000001"),
        credit("-1E-999999999"),
        credit("NaN"),
        credit("-99999999999999"),
        credit(reason=""),
        credit(reason="x" * 301),
        credit(reference="x" * 191),
        credit(ms=1),
        credit(amount=1.5),
        NewEntry(EntryKind.ADJUSTMENT, "Nothing", amount=Decimal(0)),
        NewEntry(EntryKind.USAGE, "Usage", ms=5, stream="s", from_ms=0, to_ms=5),
        correction(0, 5, ms=-4),
        correction(5, 5),
        correction(-1, 5),
        correction(0, 5, stream=""),
        correction(0, 5, amount=Decimal(1)),
        NewEntry(EntryKind.CORRECTION, "No range", ms=-5, stream="s"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused_and_so_are_those_with_it(acme: Any, bad: NewEntry) -> None:
    with pytest.raises(EntryMalformed):
        append(acme.tenant.id, [credit(), bad])
    assert entries(acme) == []


def changes() -> list[Any]:
    return [
        lambda: LedgerEntry.objects.update(amount=0),
        lambda: LedgerEntry.objects.all()._raw_delete(using="default"),
        lambda: connection.cursor().execute("TRUNCATE metering_ledgerentry"),
    ]


def test_nobody_changes_deletes_or_empties_it(acme: Any) -> None:
    append(acme.tenant.id, [credit()])
    for scope in (tenant_scope(acme.tenant.id), staff_scope()):
        with scope:
            for tamper in changes():
                with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
                    tamper()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("RESET ROLE")
    for tamper in changes():
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            tamper()
    assert amounts(acme) == [Decimal(-10)]


def test_what_one_tenant_is_charged_no_other_sees(acme: Any, rival: Any) -> None:
    append(acme.tenant.id, [credit()])
    with tenant_scope(rival.tenant.id):
        assert not LedgerEntry.objects.exists()
    assert entries(rival) == []


def test_its_time_may_be_told(acme: Any) -> None:
    at = timezone.now() - timedelta(days=3)
    (made,) = append(acme.tenant.id, [credit(processed_at=at)])
    assert made.processed_at == at
