from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from metering import outbox, reconcile
from metering.invoices import finalise
from metering.ledger import accounts
from metering.models import Invoice, LedgerEntry, MeterIntent
from metering.models.reconciliation import Action, DifferenceKind
from metering.payments import client, deliver
from metering.payments.errors import Ambiguous
from metering.payments.names import MS_EVENT
from metering.plans import create_version
from metering.reconcile import money
from metering.reconcile.money import Meter, decide
from metering.reconcile.tests.book import DAY, NOON, noted, ship, use
from tenants import services
from tenants.scope import staff_scope

FINE = Meter(
    intended=500, has=500, unsettled=0, just_told=False, sent_before=False, old=False, conservative=False,
    dry_run=False,
)  # fmt: skip
SENT, LATER = NOON + timedelta(hours=1), NOON + timedelta(hours=3)


@pytest.mark.parametrize(
    ("changed", "kind", "action"),
    [
        ({"has": 501}, DifferenceKind.AHEAD, Action.RAISED),
        ({"has": 501, "conservative": True}, DifferenceKind.AHEAD, Action.RAISED),
        ({"has": 499}, DifferenceKind.UNSENT, Action.SENT),
        ({"has": 499, "unsettled": 1}, DifferenceKind.UNSENT, Action.WAITING),
        ({"has": 499, "just_told": True}, DifferenceKind.UNSENT, Action.WAITING),
        ({"has": 499, "sent_before": True}, DifferenceKind.UNSENT, Action.RAISED),
        ({"has": 499, "old": True}, DifferenceKind.UNSENT, Action.RAISED),
        ({"has": 499, "conservative": True}, DifferenceKind.UNSENT, Action.NONE),
        ({"has": 499, "dry_run": True}, DifferenceKind.UNSENT, Action.NONE),
    ],
)
def test_what_is_done(changed: dict[str, Any], kind: DifferenceKind, action: Action) -> None:
    assert decide(FINE) is None
    found = decide(replace(FINE, **changed))
    assert found is not None
    assert found[:2] == (kind, action)


def total(stripe: Any, house: Any, event: str = MS_EVENT) -> int:
    customer = accounts.account_of(house.tenant.id).customer
    sums = stripe.control("received", customer=customer, event_name=event)["totals"]
    return sum(one["value"] for one in sums)


def send(at: Any = SENT) -> None:
    outbox.fill(now=at, force=True)
    deliver.deliver_due(now=at)


def used(house: Any, ms: int) -> None:
    """The same in both records."""
    ship(house, f"{house.tenant.slug}-{ms}", (0, ms))
    use(house, f"{house.tenant.slug}-{ms}", (0, ms))


def of_money() -> list[tuple[str, str, str, int]]:
    return [(one.kind, one.action, one.meter, one.value) for one in noted()]


def test_the_provider_has_what_the_ledger_has(stripe: Any, acme: Any, rival: Any) -> None:
    used(acme, 700)
    used(rival, 900)
    send()
    assert reconcile.run(DAY, now=LATER).summary["differences"] == 0


def test_what_the_provider_lost_is_sent_once_and_only_once(stripe: Any, acme: Any, rival: Any) -> None:
    used(acme, 700)
    used(rival, 900)
    stripe.control("reject", times=1, code="meter_event_customer_not_found")  # told too late to be heard
    send()
    assert sorted([total(stripe, acme), total(stripe, rival)]) in ([0, 900], [0, 700])
    run = reconcile.run(DAY, now=LATER)
    assert run.summary["kinds"]["unsent"]["sent"] == 1
    deliver.deliver_due(now=LATER)
    assert (total(stripe, acme), total(stripe, rival)) == (700, 900)
    with staff_scope():
        count = MeterIntent.objects.count()
    for hours in (1, 2):
        assert reconcile.run(DAY, now=LATER + timedelta(hours=hours)).summary["differences"] == 0
    with staff_scope():
        assert MeterIntent.objects.count() == count


def test_what_another_customer_was_told_is_not_said_again_to_the_one_of_now(
    stripe: Any, acme: Any, rival: Any
) -> None:
    used(acme, 700)
    send()
    new = client.connect().v1.customers.create({"name": "Acme anew"}).id
    accounts.change(acme.tenant.id, actor=None, customer=new)
    assert reconcile.run(DAY, now=LATER).summary["differences"] == 0
    use(acme, "more", (0, 40))
    ship(acme, "more", (0, 40))
    send(LATER)
    assert total(stripe, acme) == 40
    assert reconcile.run(DAY, now=LATER + timedelta(hours=2)).summary["differences"] == 0


def test_a_difference_that_was_lost_too_is_raised(stripe: Any, acme: Any, rival: Any) -> None:
    used(acme, 700)
    stripe.control("reject", times=2, code="meter_event_customer_not_found")
    send()
    reconcile.run(DAY, now=LATER)
    deliver.deliver_due(now=LATER)
    run = reconcile.run(DAY, now=LATER + timedelta(hours=2))
    assert run.summary["kinds"]["unsent"] == {"raised": 1, "ms": 0}
    assert total(stripe, acme) == 0


def test_a_provider_that_is_ahead_is_raised_and_left_alone(stripe: Any, acme: Any, rival: Any) -> None:
    used(acme, 700)
    used(rival, 900)
    send()
    with staff_scope():
        intent = MeterIntent.objects.get(tenant_id=acme.tenant.id, meter="ms")
    intent.identifier, intent.value, intent.attempts = "by-hand", 55, 1
    deliver.send(intent)
    run = reconcile.run(DAY, now=LATER)
    assert of_money() == [("ahead", "raised", "ms", 55)]
    assert run.summary["left"] == 1
    assert total(stripe, acme) == 755


def test_what_is_on_its_way_is_waited_for(stripe: Any, acme: Any, rival: Any) -> None:
    used(acme, 700)
    outbox.fill(now=SENT, force=True)
    reconcile.run(DAY, now=LATER)
    assert of_money() == [("unsent", "waiting", "ms", 700)]
    deliver.deliver_due(now=LATER)
    reconcile.run(DAY, now=LATER)
    assert noted(open=True) == []


def test_a_provider_that_does_not_answer_is_asked_another_time(stripe: Any, acme: Any, rival: Any) -> None:
    used(acme, 700)
    send()
    stripe.control("faults", path="/v1/billing/meters/*", times=None, status=500)
    run = reconcile.run(DAY, now=LATER)
    stripe.control("faults", clear=True)
    assert set(run.summary["kinds"]["unsent"]) == {"waiting", "ms"}
    assert "could not be asked" in noted(open=True)[0].detail
    assert reconcile.run(DAY, now=LATER).summary["left"] == 0


def test_what_it_had_too_much_stays_open_while_it_does_not_answer(stripe: Any, acme: Any, rival: Any) -> None:
    used(acme, 700)
    send()
    with staff_scope():
        intent = MeterIntent.objects.get(tenant_id=acme.tenant.id, meter="ms")
    intent.identifier, intent.value, intent.attempts = "by-hand", 55, 1
    deliver.send(intent)
    reconcile.run(DAY, now=LATER)
    stripe.control("faults", path="/v1/billing/meters/*", times=None, status=500)
    reconcile.run(DAY, now=LATER)
    stripe.control("faults", clear=True)
    assert [one.value for one in noted(open=True, kind="ahead")] == [55]
    reconcile.run(DAY, now=LATER)
    assert [(one.kind, one.value) for one in noted(open=True)] == [("ahead", 55)]
    assert len(noted(kind="ahead")) == 1  # the same, all the time


def test_what_is_made_and_sent_while_it_is_asked_is_not_too_much(
    stripe: Any, acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    used(acme, 700)
    send()
    real, late = money.summaries.totals, [acme]

    def totals(account: Any, meter: str, start: Any, end: Any) -> int:
        if late and account.tenant_id == acme.tenant.id:
            used(late.pop(), 40)
            send(LATER)
        return real(account, meter, start, end)

    monkeypatch.setattr(money.summaries, "totals", totals)
    assert reconcile.run(DAY, now=LATER).summary["differences"] == 0
    assert total(stripe, acme) == 740


def test_what_is_sent_when_its_month_is_closed_is_missed_nowhere_and_too_much_nowhere(
    stripe: Any, acme: Any, rival: Any
) -> None:
    used(acme, 700)
    used(rival, 900)
    stripe.control("reject", times=1, code="meter_event_customer_not_found")
    send()
    december = NOON + timedelta(days=16)
    stripe.control("clock", at=december.isoformat())
    assert reconcile.run(DAY, now=december).summary["kinds"]["unsent"]["sent"] == 1
    deliver.deliver_due(now=december)
    assert (total(stripe, acme), total(stripe, rival)) == (700, 900)
    with staff_scope():
        late = MeterIntent.objects.get(identifier__startswith=money.OURS)
    assert late.timestamp.date() == date(2026, 12, 1)  # on the next invoice
    for day in (DAY, late.timestamp.date(), DAY):
        assert reconcile.run(day, now=december + timedelta(hours=2)).summary["differences"] == 0


def test_what_dies_on_its_way_to_the_next_invoice_is_missed_once(stripe: Any, acme: Any, rival: Any) -> None:
    used(acme, 700)
    stripe.control("reject", times=1, code="meter_event_customer_not_found")
    send()
    december = NOON + timedelta(days=16)
    stripe.control("clock", at=december.isoformat())
    reconcile.run(DAY, now=december)
    first = december.replace(day=1, hour=0)
    with staff_scope():
        sent = MeterIntent.objects.filter(identifier__startswith=money.OURS)
        assert sent.update(state="dead", settled_at=december, timestamp=first) == 1
    later = december + timedelta(hours=2)
    assert reconcile.run(first.date(), now=later).summary["differences"] == 0
    assert reconcile.run(DAY, now=later).summary["kinds"] == {"unsent": {"raised": 1, "ms": 0}}


def test_what_nobody_has_written_down_to_be_sent_is_missed(stripe: Any, acme: Any, rival: Any) -> None:
    used(acme, 700)
    used(rival, 900)
    accounts.change(rival.tenant.id, actor=None, conservative=True)
    assert reconcile.run(DAY, now=timezone.now()).summary["differences"] == 0  # its hour is not over
    later = timezone.now() + timedelta(hours=3)
    assert reconcile.run(DAY, now=later).summary["left"] == 2
    assert {(one.tenant_id, one.kind, one.action, one.value) for one in noted(open=True)} == {
        (acme.tenant.id, "unsent", "waiting", 700), (rival.tenant.id, "unsent", "none", 900)
    }  # fmt: skip
    accounts.change(rival.tenant.id, actor=None, conservative=False)
    send()
    assert reconcile.run(DAY, now=later).summary["differences"] == 0
    assert noted(open=True) == []


def test_a_provider_that_is_away_is_not_asked_about_everybody(
    stripe: Any, acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    used(acme, 700)
    used(rival, 900)
    send()
    asked: list[str] = []

    def totals(account: Any, meter: str, start: Any, end: Any) -> int:
        asked.append(meter)
        raise Ambiguous()

    with monkeypatch.context() as away:
        away.setattr(money.summaries, "totals", totals)
        reconcile.run(DAY, now=LATER)
    assert len(asked) == money.AWAY_AFTER == 3
    assert [one.action for one in noted(open=True)] == ["waiting"] * 4
    assert reconcile.run(DAY, now=LATER).summary["left"] == 0


def test_a_provider_that_is_asked_too_often_is_asked_again(
    stripe: Any, acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    used(acme, 700)
    send()
    paused: list[float] = []
    monkeypatch.setattr(money.time, "sleep", paused.append)
    stripe.control("faults", path="/v1/billing/meters/*", times=3, status=429, retry_after=3)
    assert reconcile.run(DAY, now=LATER).summary["differences"] == 0
    # As it asks for, and later by chance.
    assert 3 <= paused[0] == min(paused)
    assert max(paused) <= money.LONGEST_PAUSE_S
    assert len(paused) == 3


def test_in_conservative_mode_nothing_is_sent(stripe: Any, acme: Any, rival: Any) -> None:
    used(acme, 700)
    stripe.control("reject", times=1, code="meter_event_customer_not_found")
    send()
    accounts.change(acme.tenant.id, actor=None, conservative=True)
    reconcile.run(DAY, now=LATER)
    assert of_money() == [("unsent", "none", "ms", 700)]
    accounts.change(acme.tenant.id, actor=None, conservative=False)
    reconcile.run(DAY, now=LATER)
    assert of_money() == [("unsent", "sent", "ms", 700)]


def test_intents_that_are_not_their_entries_are_raised(stripe: Any, acme: Any, rival: Any) -> None:
    used(acme, 700)
    send()
    with staff_scope():
        intent = MeterIntent.objects.get(tenant_id=acme.tenant.id, meter="ms")
        MeterIntent.objects.filter(id=intent.id).update(value=600)
        day = intent.created_at.date()
    reconcile.run(day, acme.tenant.id)
    found = [(one.kind, one.action, one.stream, one.value) for one in noted(stream="intents")]
    assert found == [("unsent", "raised", "intents", 100)]


def test_an_invoice_that_is_not_its_entries_is_raised(acme: Any, rival: Any) -> None:
    for house in (acme, rival):
        use(house, f"{house.tenant.slug}-1", (0, 90_000))
    first = DAY.replace(day=1)
    good = finalise(acme.tenant.id, first, NOON + timedelta(days=13))
    bad = finalise(rival.tenant.id, first, NOON + timedelta(days=13))
    with staff_scope():
        copy = Invoice.objects.get(id=bad.id)
        copy.pk, copy.number, copy.period = None, "2026-999999", first.replace(month=10)
        copy.ms += 1
        copy._state.adding = True
        copy.save(force_insert=True)
    reconcile.run(DAY, now=LATER)
    found = noted(kind="invoice")
    assert [(one.tenant_id, one.stream) for one in found] == [(rival.tenant.id, "2026-999999")]
    assert good.number not in found[0].detail
    assert "says 90001 ms" in found[0].detail


def test_money_is_compared_to_the_millionth(stripe: Any, acme: Any, rival: Any) -> None:
    plan = services.create_plan("Fine", "fine")
    tiers = [{"up_to_ms": None, "per_minute": "0.0077"}]
    line = {"label": "Audio", "model": "", "kind": "", "region": "", "included_ms": 0, "tiers": tiers}
    create_version(plan, None, "USD", [line])
    services.set_plan(acme.tenant, plan)
    now = timezone.now()
    ship(acme, "priced", (0, 77_777), at=now)
    use(acme, "priced", (0, 77_777), at=now)
    with staff_scope():
        (entry,) = LedgerEntry.objects.filter(tenant_id=acme.tenant.id)
    assert entry.amount == Decimal("0.009981")
    stripe.control("clock", real=True)
    send(now + timedelta(hours=1))
    assert reconcile.run(now.date(), now=now + timedelta(hours=3)).summary["differences"] == 0
    assert total(stripe, acme, "stenogate_amount_usd") == 9_981
