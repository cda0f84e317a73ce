"""Doubt is settled by the provider's sums, and never by sending on a guess."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from metering import outbox
from metering.ledger.accounts import account_of
from metering.models import MeterIntent
from metering.payments import deliver, retries, settle
from metering.payments.settle import arrived
from metering.payments.summaries import LAG
from metering.payments.tests.books import NOON, change, enter, expected, intents, states
from tenants.scope import staff_scope

NEXT = NOON + timedelta(hours=1, minutes=5)
EVENTS = "/v1/billing/meter_events"
DOUBT = NEXT + retries.SAME_FOR


@pytest.mark.parametrize(
    ("values", "surplus", "reading"),
    [
        ([1000], 0, (False,)),
        ([1000], 1000, (True,)),
        ([1000], 400, None),
        ([1000, 2000], 2000, (False, True)),
        ([1000, 2000], 3000, (True, True)),
        ([1000, 2000, 3000], 3000, None),
        ([5, 5], 5, (False, True)),
        ([-3, 10], 7, (True, True)),
        ([1] * 20, 20, (True,) * 20),
        ([1] * 20, 7, None),
    ],
)
def test_a_sum_is_read_in_one_way_or_not_at_all(values, surplus, reading):
    assert arrived(values, surplus) == reading


@pytest.fixture
def filled(customers: None, stripe: Any, acme: Any, rival: Any) -> None:
    enter(acme, 1000, "0.000000")
    enter(rival, 5000, "0.000000")
    outbox.fill(now=NEXT)
    stripe.control("clock", at=NEXT.isoformat())


def doubt(stripe: Any, when: str) -> None:
    """Both are said until nobody may say them again: they arrived ("after") or did not ("before")."""
    stripe.control("faults", kind="status", status=500, when=when, path=EVENTS, times=None)
    deliver.deliver_due(now=NEXT)
    deliver.deliver_due(now=DOUBT)
    stripe.control("faults", clear=True)
    stripe.control("clock", at=(DOUBT + LAG).isoformat())


def received(stripe: Any, household: Any) -> list[tuple[str, int]]:
    events = stripe.control("received", customer=account_of(household.tenant.id).customer)["events"]
    return [(one["identifier"][32:], one["value"]) for one in events]


def test_what_arrived_is_delivered_and_not_sent_again(
    filled: None, stripe: Any, acme: Any, rival: Any
) -> None:
    doubt(stripe, "after")
    assert settle.settle_due(now=DOUBT) == 0  # the sums may lag
    assert settle.settle_due(now=DOUBT + LAG) == 2
    assert (states(acme), states(rival)) == ({"ms 1000": "delivered"}, {"ms 5000": "delivered"})
    deliver.deliver_due(now=DOUBT + LAG)
    assert received(stripe, acme) == [("-ms-1-1-2026112012", 1000)]


def test_what_did_not_arrive_is_replaced_once_and_sent(
    filled: None, stripe: Any, acme: Any, rival: Any
) -> None:
    doubt(stripe, "before")
    assert settle.settle_due(now=DOUBT + LAG) == 2
    assert settle.settle_due(now=DOUBT + LAG) == 0
    assert [one.state for one in intents(acme)] == ["dropped", "pending"]
    deliver.deliver_due(now=DOUBT + LAG)
    assert [one.state for one in intents(acme)] == ["dropped", "delivered"]
    assert received(stripe, acme) == [("-ms-1-1-2026112012-r1", 1000)]
    assert received(stripe, rival) == [("-ms-1-1-2026112012-r1", 5000)]
    day = NOON.replace(hour=0)
    assert expected(acme, "ms", day, day + timedelta(days=1)) == 1000


def test_one_of_two_in_an_hour_is_told_by_the_sum(filled: None, stripe: Any, acme: Any) -> None:
    enter(acme, 300, "0.000000", at=NOON + timedelta(minutes=59))
    outbox.fill(now=NEXT)
    stripe.control("faults", kind="status", status=500, when="after", path=EVENTS, times=1)
    stripe.control("faults", kind="status", status=500, when="before", path=EVENTS, times=None)
    deliver.deliver_due(now=NEXT)
    deliver.deliver_due(now=NEXT + timedelta(minutes=20))
    deliver.deliver_due(now=DOUBT + timedelta(hours=1))
    stripe.control("faults", clear=True)
    later = DOUBT + timedelta(hours=2)
    stripe.control("clock", at=later.isoformat())
    settle.settle_due(now=later)
    deliver.deliver_due(now=later)
    assert sum(value for _, value in received(stripe, acme)) == 1300


def test_a_sum_that_fits_nothing_is_left_to_a_person(
    filled: None, stripe: Any, acme: Any, rival: Any
) -> None:
    doubt(stripe, "after")
    with staff_scope():
        MeterIntent.objects.filter(tenant_id=acme.tenant.id).update(value=999)
    settle.settle_due(now=DOUBT + LAG)
    assert states(acme) == {"ms 999": "dead"}
    assert "compare by hand" in intents(acme)[0].error
    assert states(rival) == {"ms 5000": "delivered"}


def test_while_the_provider_is_away_doubt_stays_and_ends_in_the_end(
    filled: None, stripe: Any, acme: Any, rival: Any
) -> None:
    doubt(stripe, "after")
    stripe.control("down")
    assert settle.settle_due(now=DOUBT + LAG) == 0
    assert states(acme) == {"ms 1000": "doubtful"}
    # Whoever was asked about first; the other would have fared no better.
    waits = sorted(one.next_at for household in (acme, rival) for one in intents(household))
    assert waits == [DOUBT + LAG, DOUBT + LAG + timedelta(hours=1)]
    settle.settle_due(now=NEXT + timedelta(days=35))
    assert states(acme) == {"ms 1000": "dead"}
    stripe.control("up")


def test_it_is_replaced_three_times_and_then_dead(filled: None, stripe: Any, acme: Any) -> None:
    stripe.control("faults", kind="reset", path=EVENTS, times=None)
    now = NEXT
    for _ in range(4):
        deliver.deliver_due(now=now)
        now += retries.SAME_FOR
        deliver.deliver_due(now=now)
        now += LAG
        stripe.control("clock", at=now.isoformat())
        settle.settle_due(now=now)
    assert [one.state for one in intents(acme)] == ["dropped"] * 3 + ["dead"]
    assert [one.identifier[-3:] for one in intents(acme)] == ["012", "-r1", "-r2", "-r3"]
    assert "days of trying" in intents(acme)[-1].error
    stripe.control("faults", clear=True)


def test_what_waits_to_be_said_again_is_waited_for(filled: None, stripe: Any, acme: Any) -> None:
    doubt(stripe, "after")
    with staff_scope():
        one = intents(acme)[0]
        MeterIntent.objects.create(
            tenant_id=one.tenant_id, meter="ms", from_seq=2, to_seq=2, value=7, timestamp=one.timestamp,
            customer=one.customer, identifier="x", state="sending", next_at=DOUBT,
        )  # fmt: skip
    settle.settle_due(now=DOUBT + LAG)
    assert states(acme) == {"ms 1000": "doubtful", "ms 7": "sending"}


def test_what_was_said_so_lately_that_sums_may_lack_it_is_waited_for(
    filled: None, stripe: Any, acme: Any
) -> None:
    """Two are doubtful of an hour; the later one arrived half an hour ago, and no sum shows it yet."""
    doubt(stripe, "before")
    one, until = intents(acme)[0], DOUBT + LAG + timedelta(minutes=30)
    with staff_scope():
        later = MeterIntent.objects.create(
            tenant_id=one.tenant_id, meter="ms", from_seq=2, to_seq=2, value=7, timestamp=one.timestamp,
            customer=one.customer, identifier="x", state="doubtful", next_at=until, first_sent_at=DOUBT,
        )  # fmt: skip
    assert settle.settle_due(now=DOUBT + LAG) == 1  # Rival's
    assert states(acme) == {"ms 1000": "doubtful", "ms 7": "doubtful"}
    deliver.send(later)
    stripe.control("clock", at=until.isoformat())
    assert settle.settle_due(now=until) == 2
    assert [(one.value, one.state) for one in intents(acme)] == [
        (1000, "dropped"), (7, "delivered"), (1000, "pending"),
    ]  # fmt: skip


def test_of_whom_somebody_investigates_nothing_is_settled(filled: None, stripe: Any, acme: Any) -> None:
    doubt(stripe, "after")
    change(acme, conservative=True)
    assert settle.settle_due(now=DOUBT + LAG) == 1
    assert states(acme) == {"ms 1000": "doubtful"}


def test_what_was_delivered_so_lately_that_sums_may_lack_it_is_waited_for(
    filled: None, stripe: Any, acme: Any
) -> None:
    """Else a sum that shows the doubtful one and not yet the other would be read as the other's alone."""
    stripe.control("lag", seconds=0)
    doubt(stripe, "after")
    enter(acme, 1000, "0.000000", at=NOON + timedelta(minutes=59))
    outbox.fill(now=NEXT)
    stripe.control("lag", seconds=1800)
    just_before = DOUBT + LAG - timedelta(minutes=1)
    deliver.deliver_due(now=just_before)
    assert settle.settle_due(now=DOUBT + LAG) == 1  # Rival's
    assert [one.state for one in intents(acme)] == ["doubtful", "delivered"]
    later = just_before + LAG + timedelta(minutes=15)
    stripe.control("clock", at=later.isoformat())
    assert settle.settle_due(now=later) == 1
    deliver.deliver_due(now=later)
    assert [value for _, value in received(stripe, acme)] == [1000, 1000]
    stripe.control("lag", seconds=0)
