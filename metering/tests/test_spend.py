from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from django.utils import timezone

from metering import spend
from metering.ledger.accounts import change, locked_account
from metering.ledger.append import NewEntry, append
from metering.ledger.post import post_due
from metering.ledger.tests.make import account, amounts, entries, priced, proved, usage
from metering.models import Account
from metering.models.ledger import EntryKind
from metering.recording import record
from metering.spend import state
from metering.tests.at_once import run_at_once
from tenants.access import Hold
from tenants.models import AuditEntry, Tenant
from tenants.scope import staff_scope, tenant_scope

NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_month_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 10, 20, 12, tzinfo=UTC))


def use(household: Any, start_s: int, end_s: int) -> None:
    """Seconds at a thousandth of a dollar each."""
    record([usage(household, start_s * 1000, end_s * 1000, at=timezone.now())])
    post_due(household.tenant.id)


def hold(household: Any) -> str:
    with tenant_scope(household.tenant.id):
        return Tenant.objects.get(id=household.tenant.id).hold


def paid(household: Any, amount: str) -> None:
    append(household.tenant.id, [NewEntry(EntryKind.CREDIT, "Paid", amount=Decimal(f"-{amount}"))])


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ({}, Hold.NONE),
        ({"hard_cap": Decimal(5), "charged": Decimal("4.999999")}, Hold.NONE),
        ({"hard_cap": Decimal(5), "charged": Decimal(5)}, Hold.SPEND_CAP),
        ({"hard_cap": Decimal(0)}, Hold.SPEND_CAP),
        ({"hard_cap": Decimal(5), "charged": Decimal(5), "period": date(2026, 10, 1)}, Hold.NONE),
        ({"mode": "prepaid", "balance": Decimal("0.000001")}, Hold.NONE),
        ({"mode": "prepaid", "balance": Decimal(0)}, Hold.PREPAID),
        ({"mode": "prepaid", "hard_cap": Decimal(0)}, Hold.PREPAID),
        ({"standing": "suspended", "mode": "prepaid"}, Hold.PAYMENT),
        ({"standing": "grace", "grace_until": NOW + timedelta(seconds=1)}, Hold.NONE),
        ({"standing": "grace", "grace_until": NOW}, Hold.PAYMENT),
        ({"standing": "grace"}, Hold.NONE),
    ],
)
def test_the_gravest_reason_counts(says: dict[str, Any], expected: Hold) -> None:
    assert state(Account(**{"period": date(2026, 11, 1), **says}), NOW) == expected


def test_the_hard_cap_is_charged_to_the_millionth_and_the_rest_is_waived(acme: Any, rival: Any) -> None:
    priced(acme)
    change(acme.tenant.id, actor=None, hard_cap=Decimal("0.010001"))
    use(acme, 0, 4)
    assert hold(acme) == Hold.NONE
    use(acme, 4, 60)
    use(rival, 0, 60)
    assert amounts(acme) == [Decimal("0.004"), Decimal("0.006001")]
    assert hold(acme) == Hold.SPEND_CAP
    use(acme, 60, 61)
    assert [entry.waived for entry in entries(acme)][-1] == Decimal("0.001")
    assert account(acme).charged == account(acme).hard_cap
    assert hold(rival) == Hold.NONE
    assert proved(acme)


def test_a_cap_that_is_raised_lets_audio_in_again(acme: Any) -> None:
    priced(acme)
    change(acme.tenant.id, actor=None, hard_cap=Decimal("0.01"))
    use(acme, 0, 20)
    assert hold(acme) == Hold.SPEND_CAP
    change(acme.tenant.id, actor=None, hard_cap=Decimal("0.02"))
    assert hold(acme) == Hold.NONE
    use(acme, 20, 40)
    assert amounts(acme) == [Decimal("0.01"), Decimal("0.01")]
    change(acme.tenant.id, actor=None, hard_cap=None)
    assert hold(acme) == Hold.NONE


def test_prepaid_credit_never_goes_below_0_and_more_of_it_lets_audio_in(acme: Any) -> None:
    priced(acme)
    change(acme.tenant.id, actor=None, mode="prepaid")
    assert hold(acme) == Hold.PREPAID
    paid(acme, "0.015")
    assert hold(acme) == Hold.NONE
    use(acme, 0, 10)
    use(acme, 10, 20)
    assert hold(acme) == Hold.PREPAID
    assert account(acme).balance == 0
    assert [(entry.amount, entry.waived) for entry in entries(acme)][1:] == [
        (Decimal("0.01"), Decimal(0)),
        (Decimal("0.005"), Decimal("0.005")),
    ]
    paid(acme, "1")
    assert hold(acme) == Hold.NONE
    assert proved(acme)


def test_the_soft_cap_is_told_once_a_period(acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    priced(acme)
    told: list[str] = []
    monkeypatch.setattr("metering.notices.tell", lambda account, tenant, about, text: told.append(text))
    change(acme.tenant.id, actor=None, soft_cap=Decimal("0.01"))
    use(acme, 0, 9)
    assert told == []
    use(acme, 9, 20)
    use(acme, 20, 30)
    use(rival, 0, 60)
    assert len(told) == 1
    with staff_scope():
        (entry,) = AuditEntry.objects.filter(action="account.soft_cap_reached")
    assert entry.tenant_id == acme.tenant.id
    assert entry.details["soft_cap"] == "0.010000"
    assert hold(acme) == Hold.NONE
    month = timezone.now() + timedelta(days=31)
    monkeypatch.setattr(timezone, "now", lambda: month)
    spend.turn_due()
    assert len(told) == 1
    record([usage(acme, 100_000, 150_000)])
    monkeypatch.setattr("metering.periods.frozen", lambda period, now: period.ends_at <= now)
    post_due()
    assert len(told) == 2


def test_a_new_period_lifts_the_hold_of_a_cap(acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    priced(acme)
    for household in (acme, rival):
        change(household.tenant.id, actor=None, hard_cap=Decimal("0.01"), time_zone="America/New_York")
        use(household, 0, 20)
    change(rival.tenant.id, actor=None, standing="suspended")
    assert (hold(acme), hold(rival)) == (Hold.SPEND_CAP, Hold.PAYMENT)
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 11, 1, 3, 59, tzinfo=UTC))
    assert spend.turn_due() == 0  # in New York it is still October
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 11, 1, 4, tzinfo=UTC))
    assert spend.turn_due() == 2
    assert (hold(acme), hold(rival)) == (Hold.NONE, Hold.PAYMENT)
    assert (account(acme).period, account(acme).charged) == (date(2026, 11, 1), 0)
    assert spend.turn_due() == 0


def test_a_turn_that_fails_keeps_no_other_from_theirs(
    acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = sorted((acme, rival), key=lambda household: household.tenant.id)
    for household in (acme, rival):
        use(household, 0, 20)
    real = spend.turn

    def turn(its: Account, now: datetime) -> None:
        if its.tenant_id == first.tenant.id:
            raise ValueError("its time zone is gone")
        real(its, now)

    monkeypatch.setattr(spend, "turn", turn)
    # One in a go, so that the first is in the way if any can be.
    assert spend.turn_due(datetime(2026, 11, 1, tzinfo=UTC), at_once=1) == 2
    assert [account(one).period for one in (first, second)] == [date(2026, 10, 1), date(2026, 11, 1)]
    assert str(first.tenant.id) in caplog.text


def test_grace_that_is_over_stops_audio_without_anything_else_happening(acme: Any) -> None:
    now = timezone.now()
    change(acme.tenant.id, actor=None, standing="grace", grace_until=now + timedelta(hours=1))
    spend.turn_due(now)
    assert hold(acme) == Hold.NONE
    spend.turn_due(now + timedelta(hours=1))
    assert hold(acme) == Hold.PAYMENT
    assert spend.turn_due(now + timedelta(hours=1)) == 0
    change(acme.tenant.id, actor=None, standing="good", grace_until=None)
    assert hold(acme) == Hold.NONE


def test_a_hold_is_told_and_audited_once(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("metering.notices.tell", lambda account, tenant, about, text: told.append(text))
    change(acme.tenant.id, actor=None, hard_cap=Decimal(0))
    with tenant_scope(acme.tenant.id):
        spend.apply(locked_account(acme.tenant.id))
        assert AuditEntry.objects.filter(action="tenant.hold_changed").count() == 1
    assert told == ["Audio is no longer taken: the hard cap of this billing period is reached"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("settings", [{"hard_cap": Decimal("0.038")}, {"mode": "prepaid"}])
def test_many_who_post_and_pay_at_once_never_pass_a_cap(acme: Any, rival: Any, settings: Any) -> None:
    """What is charged is the cap to the millionth, and what is waived is all the rest."""
    priced(acme)
    change(acme.tenant.id, actor=None, **settings)
    if "mode" in settings:
        paid(acme, "0.02")

    def worker(number: int) -> Callable[[], None]:
        def work() -> None:
            random = Random(number)
            for place in range(12):
                start = (number * 12 + place) * 2000
                end = start + random.randint(500, 1999)
                for household in (acme, rival):
                    record([usage(household, start, end, tags=(str(place),))])
                    post_due(household.tenant.id, limit=random.randint(1, 4))
                    with tenant_scope(household.tenant.id):
                        found = account(household)
                    if household is acme:
                        assert found.charged <= Decimal("0.038")
                        assert "mode" not in settings or found.balance >= 0
                if "mode" in settings and place == 6:
                    append(
                        acme.tenant.id,
                        [NewEntry(EntryKind.CREDIT, "Paid", f"pay:{number}", amount=Decimal("-0.003"))],
                    )

        return work

    run_at_once([worker(number) for number in range(6)])
    while post_due():
        pass
    charged = sum(entry.amount for entry in entries(acme) if entry.kind != EntryKind.CREDIT)
    whole = sum(entry.ms for entry in entries(acme))
    assert whole == sum(entry.ms for entry in entries(rival))
    full = Decimal(whole) / 1_000_000
    limit = Decimal("0.038")
    assert full > limit  # else this would prove nothing
    waived = sum(entry.waived for entry in entries(acme))
    assert charged + waived == full
    if "mode" in settings:
        assert (account(acme).balance, charged) == (Decimal(0), limit)
    else:
        assert charged == limit
    assert sum(entry.amount for entry in entries(rival)) == full
    assert hold(acme) != Hold.NONE
    assert hold(rival) == Hold.NONE
    assert proved(acme)
