"""Meter events to the local Stripe: each counts once, whatever goes wrong in between."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from django.db import connection

from faults.breaker import OPENS_AFTER, Breaker
from metering import outbox
from metering.ledger.accounts import account_of
from metering.models import MeterIntent
from metering.payments import client, deliver, locks, retries, settle, summaries, sync
from metering.payments.errors import Duplicate
from metering.payments.tests.books import NOON, change, enter, intents, states
from metering.periods import period_of
from tenants.scope import staff_scope

NEXT = NOON + timedelta(hours=1, minutes=5)
EVENTS = "/v1/billing/meter_events"
SECOND = timedelta(seconds=1)


@pytest.fixture
def filled(customers: None, stripe: Any, acme: Any, rival: Any) -> None:
    enter(acme, 1000, "0.000100")
    enter(rival, 5000, "0.000500")
    outbox.fill(now=NEXT)
    stripe.control("clock", at=NEXT.isoformat())


def received(stripe: Any, household: Any) -> dict[str, int]:
    totals = stripe.control("received", customer=account_of(household.tenant.id).customer)["totals"]
    return {one["event_name"]: one["value"] for one in totals}


ACME = {"stenogate_audio_ms": 1000, "stenogate_amount_usd": 100}
RIVAL = {"stenogate_audio_ms": 5000, "stenogate_amount_usd": 500}
DONE = {"ms 1000": "delivered", "amount 100": "delivered"}


def test_each_is_sent_once(filled: None, stripe: Any, acme: Any, rival: Any) -> None:
    assert deliver.deliver_due(now=NEXT) == 4
    assert deliver.deliver_due(now=NEXT) == 0
    assert (received(stripe, acme), received(stripe, rival)) == (ACME, RIVAL)
    assert states(acme) == DONE
    sent = stripe.control("received")["events"]
    assert {one["identifier"] for one in sent} == {i.identifier for i in intents(acme) + intents(rival)}
    assert {one["timestamp"] for one in sent} == {int(NOON.timestamp())}


def test_the_sums_are_read_back(filled: None, acme: Any, rival: Any) -> None:
    deliver.deliver_due(now=NEXT)
    account, day = account_of(acme.tenant.id), NOON.replace(hour=0)
    assert summaries.totals(account, "ms", day, day + timedelta(days=1)) == 1000
    assert summaries.totals(account, "amount", NOON, NOON + timedelta(hours=1)) == 100
    assert summaries.totals(account, "ms", day, NOON) == 0
    with pytest.raises(ValueError, match="no whole minute"):
        summaries.totals(account, "ms", day, NOON + SECOND)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500, "when": "before"},
        {"kind": "status", "status": 500, "when": "after"},
        {"kind": "reset", "when": "before"},
        {"kind": "reset", "when": "after"},
        {"kind": "status", "status": 429, "retry_after": 7},
        {"kind": "status", "status": 503, "when": "after"},
    ],
    ids=lambda fault: " ".join(map(str, fault.values())),
)
def test_what_failed_is_said_again_and_counts_once(
    fault: dict[str, Any], filled: None, stripe: Any, acme: Any, rival: Any
) -> None:
    stripe.control("faults", **fault, path=EVENTS, times=4)
    assert deliver.deliver_due(now=NEXT) == 0
    assert set(states(acme).values()) == {"sending"}
    assert deliver.deliver_due(now=NEXT) == 0  # not yet
    later = NEXT + timedelta(seconds=fault.get("retry_after", 1))
    assert deliver.deliver_due(now=later) == 4
    assert (received(stripe, acme), received(stripe, rival)) == (ACME, RIVAL)
    assert {one.attempts for one in intents(acme)} == {2}


def test_while_nothing_answers_nothing_is_claimed_and_all_of_it_is_sent_when_something_does(
    filled: None, stripe: Any, acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "breaker", Breaker())
    stripe.control("down")
    assert deliver.deliver_due(now=NEXT) == 0
    every = intents(acme) + intents(rival)
    assert sum(intent.attempts for intent in every) == OPENS_AFTER < len(every)
    # Those that were not said may be said for as long as they could before.
    assert all(intent.first_sent_at is None for intent in every if not intent.attempts)
    assert deliver.deliver_due(now=NEXT + SECOND) == 0
    assert sum(intent.attempts for intent in intents(acme) + intents(rival)) == OPENS_AFTER
    stripe.control("up")
    client.breaker.retry_at = 0.0  # its pause is over
    assert deliver.deliver_due(now=NEXT + 2 * SECOND) == 4
    assert (received(stripe, acme), received(stripe, rival)) == (ACME, RIVAL)


def test_a_429_is_obeyed(filled: None, stripe: Any, acme: Any) -> None:
    stripe.control("faults", kind="status", status=429, retry_after=7, path=EVENTS, times=4)
    deliver.deliver_due(now=NEXT)
    assert {one.next_at for one in intents(acme)} == {NEXT + timedelta(seconds=7)}
    assert deliver.deliver_due(now=NEXT + timedelta(seconds=6)) == 0


def test_a_process_that_died_after_saying_it_left_a_claim_that_is_taken_up(
    filled: None, stripe: Any, acme: Any, rival: Any
) -> None:
    pair = deliver.Pair(acme.tenant.id, account_of(acme.tenant.id).customer, "ms")
    claimed = deliver._claimed(pair, NEXT)
    assert claimed is not None
    deliver.send(claimed)  # and dies
    assert deliver.deliver_due(now=NEXT) == 3
    assert states(acme)["ms 1000"] == "sending"
    assert deliver.deliver_due(now=NEXT + retries.LEASE) == 1
    assert received(stripe, acme) == ACME


def test_what_will_never_be_taken_is_dead_and_says_why(
    filled: None, stripe: Any, acme: Any, rival: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with staff_scope():
        MeterIntent.objects.filter(tenant_id=acme.tenant.id, meter="ms").update(value=10**15)
    with caplog.at_level(logging.ERROR):
        deliver.deliver_due(now=NEXT)
    dead = next(one for one in intents(acme) if one.state == "dead")
    assert "meter_event_value_too_many_digits: the value has more than 15 digits" in dead.error
    assert dead.identifier in caplog.text
    assert received(stripe, rival) == RIVAL
    assert deliver.deliver_due(now=NEXT + timedelta(days=1)) == 0


@pytest.mark.parametrize(("when", "found"), [("after", ["delivered"]), ("before", ["dropped", "dead"])])
def test_what_is_refused_after_it_may_have_arrived_is_settled_by_the_sum(
    when: str, found: list[str], filled: None, stripe: Any, acme: Any, rival: Any
) -> None:
    stripe.control("faults", kind="status", status=500, when=when, path=EVENTS, times=4)
    deliver.deliver_due(now=NEXT)
    stripe.control("faults", kind="status", status=400, path=EVENTS, times=None)
    deliver.deliver_due(now=NEXT + SECOND)
    assert set(states(acme).values()) == {"doubtful"}
    later = NEXT + SECOND + summaries.LAG
    stripe.control("clock", at=later.isoformat())
    assert settle.settle_due(now=later) == 4
    deliver.deliver_due(now=later)
    assert [one.state for one in intents(acme) if one.meter == "ms"] == found
    assert received(stripe, acme) == (ACME if when == "after" else {})


def test_what_a_webhook_says_during_a_call_holds(
    filled: None, acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call before had not been answered, and what it said is rejected while it is said again."""

    def rejected_meanwhile(intent: MeterIntent) -> None:
        with staff_scope():
            MeterIntent.objects.filter(id=intent.id).update(state="dead", error="rejected later")
        raise Duplicate("it is there")

    monkeypatch.setattr(deliver, "send", rejected_meanwhile)
    deliver.deliver_due(now=NEXT)
    assert {(one.state, one.error) for one in intents(acme)} == {("dead", "rejected later")}


def test_what_is_too_old_to_be_said_again_is_claimed_by_nobody(filled: None, acme: Any) -> None:
    with staff_scope():
        MeterIntent.objects.update(state="sending", first_sent_at=NEXT - retries.SAME_FOR + SECOND)
    pair = deliver.Pair(acme.tenant.id, account_of(acme.tenant.id).customer, "ms")
    assert deliver._claimed(pair, NEXT) is not None
    assert deliver._claimed(pair, NEXT + retries.LEASE) is None


def test_a_wrong_key_kills_nothing_and_is_never_told(
    filled: None, stripe: Any, acme: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_live_not_of_this_stripe")
    with caplog.at_level(logging.DEBUG):
        assert deliver.deliver_due(now=NEXT) == 0
    assert set(states(acme).values()) == {"sending"}
    assert "STRIPE_API_KEY" in caplog.text
    ours = [record for record in caplog.records if record.name.startswith("metering")]
    assert ours
    assert not any("not_of_this" in record.getMessage() for record in ours)
    monkeypatch.setenv("STRIPE_API_KEY", stripe.api_key)
    assert deliver.deliver_due(now=NEXT + timedelta(minutes=1)) == 4


def test_nothing_is_sent_of_whom_somebody_investigates(
    filled: None, stripe: Any, acme: Any, rival: Any
) -> None:
    change(acme, conservative=True)
    assert deliver.deliver_due(now=NEXT) == 2
    assert (received(stripe, acme), received(stripe, rival)) == ({}, RIVAL)
    change(acme, conservative=False)
    assert deliver.deliver_due(now=NEXT) == 2


def test_without_a_key_nothing_happens(filled: None, acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIPE_API_KEY")
    assert deliver.deliver_due(now=NEXT) == 0
    assert set(states(acme).values()) == {"pending"}


def test_another_day_the_same_identifier_is_not_said_again(filled: None, stripe: Any, acme: Any) -> None:
    stripe.control("faults", kind="status", status=500, when="after", path=EVENTS, times=4)
    deliver.deliver_due(now=NEXT)
    later = NEXT + retries.SAME_FOR
    stripe.control("clock", at=(later + timedelta(hours=2)).isoformat())
    assert deliver.deliver_due(now=later) == 0
    assert states(acme) == {"ms 1000": "doubtful", "amount 100": "doubtful"}
    assert received(stripe, acme) == ACME


def test_what_was_first_said_too_late_for_its_month_goes_to_the_one_that_is_open(
    filled: None, stripe: Any, acme: Any
) -> None:
    later = NOON.replace(month=12, day=4)
    stripe.control("clock", at=later.isoformat())
    assert deliver.deliver_due(now=later) == 4
    assert {one.timestamp for one in intents(acme)} == {NOON.replace(month=12, day=1, hour=0)}
    assert received(stripe, acme) == ACME


def test_one_call_at_a_time_for_a_customer_and_meter(filled: None, stripe: Any, acme: Any) -> None:
    other = connection.copy()  # somebody else's, who speaks of Acme's milliseconds now
    try:
        with other.cursor() as cursor:
            key = f"{account_of(acme.tenant.id).customer} ms"
            cursor.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", [locks.SPEAKING, key])
            assert deliver.deliver_due(now=NEXT) == 3
            assert states(acme) == {"ms 1000": "pending", "amount 100": "delivered"}
            # To close it would let go too, but only when the server comes to it.
            cursor.execute("SELECT pg_advisory_unlock_all()")
    finally:
        other.close()
    assert deliver.deliver_due(now=NEXT) == 1
    assert states(acme) == DONE


def test_a_run_ends_in_time(filled: None, acme: Any) -> None:
    ticks = iter([0.0, 0.0, deliver.RUN_FOR_S, deliver.RUN_FOR_S])
    assert deliver.deliver_due(now=NEXT, clock=lambda: next(ticks)) == 1


def test_two_who_deliver_at_once_say_each_once_and_never_both_to_one_customer(
    transactional_db: None, filled: None, stripe: Any, acme: Any, rival: Any
) -> None:
    for n in range(8):
        enter(acme, 1000, "0.000100", processed_at=NOON - timedelta(hours=n + 1), at=NOON)
    outbox.fill(now=NEXT)
    # Stripe says 429 to a second call for a customer and meter while it has not answered the first.
    stripe.control("faults", kind="delay", seconds=0.02, path=EVENTS, times=None)
    ready, delivered = threading.Barrier(4), []

    def run() -> None:
        try:
            ready.wait(30)
            delivered.append(deliver.deliver_due(now=NEXT))
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(delivered) == 20
    found = intents(acme) + intents(rival)
    assert [(one.state, one.attempts) for one in found] == [("delivered", 1)] * 20
    assert received(stripe, acme) == {"stenogate_audio_ms": 9000, "stenogate_amount_usd": 900}


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_the_months_of_both_have_the_same_entries_in_any_time_zone(
    zone: str, stripe: Any, acme: Any, rival: Any
) -> None:
    """Usage around the turns of months, told once a day; the provider's invoice is the ledger's period."""
    stripe.control("grace", seconds=72 * 3600)
    stripe.control("clock", at="2026-10-01T00:00:00+00:00")
    sync.Sync().tenants([acme.tenant, rival.tenant])
    stripe.control("payments", customer=account_of(acme.tenant.id).customer, outcome="succeed")
    around = [datetime(2026, 10, 30, 23, 30, tzinfo=UTC), datetime(2026, 11, 29, 23, 30, tzinfo=UTC)]
    owed = Counter[date]()
    for n, at in enumerate(start + k * timedelta(hours=3) for start in around for k in range(14)):
        period = period_of(at, zone).first_day
        owed[period] += 1_000_000 + n
        enter(acme, 1000, f"1.{n:06}", processed_at=at, period=period)
        if n % 7 == 6:
            stripe.control("clock", at=at.isoformat())
            outbox.fill(now=at, force=True)
            deliver.deliver_due(now=at)
    stripe.control("clock", at=(at + timedelta(days=5)).isoformat())
    made = client.connect().v1.invoices.list({"customer": account_of(acme.tenant.id).customer}).data
    found = {datetime.fromtimestamp(one.period_start, UTC).date(): one for one in made}
    for period in (date(2026, 10, 1), date(2026, 11, 1)):
        ours = (Decimal(owed[period]) / 10_000).quantize(Decimal(1), ROUND_HALF_UP)
        assert (found[period].status, found[period].total) == ("paid", ours), period
