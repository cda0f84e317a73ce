"""Ledger entries become intents, each once; with two tenants, on a real PostgreSQL."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from metering import outbox
from metering.ledger.accounts import account_of
from metering.models import ProviderObject
from metering.payments.tests.books import NOON, change, enter, intents

HOUR = timedelta(hours=1)
NEXT = NOON + HOUR + timedelta(minutes=5)


@pytest.fixture
def customers(acme: Any, rival: Any) -> None:
    change(acme, customer="cus_acme")
    change(rival, customer="cus_rival")


def made(household: Any) -> list[tuple[str, int, int, int, str]]:
    return [
        (one.meter, one.from_seq, one.to_seq, one.value, f"{one.timestamp:%d %H:%M:%S}")
        for one in intents(household)
    ]


def test_an_hour_becomes_one_intent_a_meter(customers: None, acme: Any, rival: Any) -> None:
    enter(acme, 1000, "0.000100")
    enter(acme, 2000, "0.000200", processed_at=NOON + timedelta(minutes=59))
    enter(rival, 5000, "0.000500")
    assert outbox.fill(now=NEXT) == 4
    assert made(acme) == [("amount", 1, 2, 300, "20 12:00:00"), ("ms", 1, 2, 3000, "20 12:00:00")]
    assert made(rival) == [("amount", 1, 1, 500, "20 12:00:00"), ("ms", 1, 1, 5000, "20 12:00:00")]
    assert {one.customer for one in intents(acme)} == {"cus_acme"}
    assert intents(acme)[1].identifier == f"{acme.tenant.id.hex}-ms-1-2-2026112012"
    assert outbox.fill(now=NEXT) == 0


def test_what_was_free_before_the_account_had_its_currency_is_told_too(customers: None, acme: Any) -> None:
    enter(acme, 1000, "0.000000")
    change(acme, currency="EUR")
    enter(acme, 2000, "0.000200")
    outbox.fill(now=NEXT)
    assert [(one.meter, one.value) for one in intents(acme)] == [("amount", 200), ("ms", 3000)]


def test_the_hour_that_is_not_over_waits_unless_forced(customers: None, acme: Any) -> None:
    enter(acme)
    enter(acme, processed_at=NOON + HOUR)
    assert outbox.fill(now=NEXT) == 2
    assert account_of(acme.tenant.id).outbox_seq == 1
    assert outbox.fill(now=NEXT, force=True) == 2
    assert [(one.from_seq, one.to_seq) for one in intents(acme)] == [(1, 1), (1, 1), (2, 2), (2, 2)]


def test_every_entry_is_in_one_intent_whatever_the_order_of_their_hours(customers: None, acme: Any) -> None:
    for n in range(12):
        enter(acme, 1000 + n, f"0.00000{n % 10}", processed_at=NOON - (n % 3) * HOUR, at=NOON)
        if n == 5:
            assert outbox.fill(now=NEXT) == 6
    outbox.fill(now=NEXT)
    found = intents(acme)
    assert sum(one.value for one in found if one.meter == "ms") == sum(1000 + n for n in range(12))
    assert sum(one.value for one in found if one.meter == "amount") == sum(n % 10 for n in range(12))
    assert {(one.from_seq, one.to_seq) for one in found} == {(1, 6), (7, 12)}
    assert len({one.identifier for one in found}) == len(found) == 12


def test_an_account_that_is_no_customer_waits_and_loses_nothing(acme: Any, rival: Any) -> None:
    enter(acme)
    enter(acme)
    assert outbox.fill(now=NEXT) == 0
    assert outbox.fill(acme.tenant.id, now=NEXT) == 0
    change(acme, customer="cus_acme")
    assert outbox.fill(now=NEXT + timedelta(days=3)) == 2
    assert made(acme)[1] == ("ms", 1, 2, 120_000, "20 12:00:00")


def test_usage_of_a_closed_month_is_carried_to_the_earliest_moment_that_is_open(
    customers: None, acme: Any
) -> None:
    enter(acme, processed_at=NOON - timedelta(days=40), period=date(2026, 10, 1))
    enter(acme)
    outbox.fill(now=NEXT)
    assert made(acme) == [
        ("amount", 1, 2, 6000, "01 00:00:00"),
        ("ms", 1, 2, 60_000, "01 00:00:00"),
        ("amount", 1, 2, 6000, "20 12:00:00"),
        ("ms", 1, 2, 60_000, "20 12:00:00"),
    ]


def test_nothing_is_told_of_before_the_subscription_began(customers: None, acme: Any, rival: Any) -> None:
    since = NOON + timedelta(minutes=30)
    ProviderObject.objects.create(
        account="a", name=outbox.subscription_name(acme.tenant.id, "USD"), provider_id="sub", starts_at=since
    )
    enter(acme)
    enter(rival)
    outbox.fill(now=NEXT)
    assert {one.timestamp for one in intents(acme)} == {since}
    assert {one.timestamp for one in intents(rival)} == {NOON}


def test_a_month_that_begins_later_for_the_provider_is_sent_then(customers: None, acme: Any) -> None:
    processed = NOON.replace(day=30, hour=20)
    enter(acme, processed_at=processed, period=date(2026, 12, 1))
    outbox.fill(now=processed + HOUR)
    begins = NOON.replace(month=12, day=1, hour=0)
    assert {(one.timestamp, one.next_at) for one in intents(acme)} == {(begins, begins)}


def test_corrections_are_sent_below_zero_and_money_that_was_paid_is_not(customers: None, acme: Any) -> None:
    enter(acme, 1000, "0.000100")
    enter(acme, -3000, "-0.000300", kind="correction")
    enter(acme, 0, "-20.000000", kind="credit")
    enter(acme, 0, "0.500000", kind="adjustment")
    outbox.fill(now=NEXT)
    assert made(acme) == [("amount", 1, 4, 499_800, "20 12:00:00"), ("ms", 1, 4, -2000, "20 12:00:00")]


def test_what_sums_up_to_nothing_has_no_intent_and_is_filled_all_the_same(customers: None, acme: Any) -> None:
    enter(acme, 1000, "0.000000")
    enter(acme, 0, "-20.000000", kind="credit")
    outbox.fill(now=NEXT)
    assert made(acme) == [("ms", 1, 2, 1000, "20 12:00:00")]
    assert account_of(acme.tenant.id).outbox_seq == 2


def test_of_an_account_that_is_investigated_nothing_is_filled_until_that_is_over(
    customers: None, acme: Any, rival: Any
) -> None:
    change(acme, conservative=True)
    enter(acme)
    enter(rival)
    assert outbox.fill(now=NEXT) == 2
    assert not intents(acme)
    change(acme, conservative=False)
    assert outbox.fill(now=NEXT) == 2


def test_an_intent_is_unsettled_until_it_has_arrived(customers: None, acme: Any, rival: Any) -> None:
    enter(acme, 1000)
    enter(rival, 5000)
    outbox.fill(now=NEXT)
    day = NOON.replace(hour=0)
    assert outbox.unsettled(acme.tenant.id, "ms", day, NOON) == 0
    assert outbox.unsettled(acme.tenant.id, "ms", day, day + 24 * HOUR) == 1
