from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from metering import outbox
from metering.ledger.accounts import account_of
from metering.models import ProviderObject
from metering.payments import deliver, summaries
from metering.payments.errors import Ambiguous, NoCustomer, Permanent
from metering.payments.tests.books import NOON, enter, expected

DAY = timedelta(days=1)
MIDNIGHT = NOON.replace(hour=0)
NEXT = NOON + timedelta(hours=1, minutes=5)


@pytest.fixture
def sent(customers: None, stripe: Any, acme: Any, rival: Any) -> None:
    enter(acme, 1000, "0.000100")
    enter(acme, -300, "-0.000030", kind="correction", processed_at=NOON - timedelta(hours=1), at=NOON)
    enter(rival, 5000, "0.000500")
    outbox.fill(now=NEXT)
    stripe.control("clock", at=NEXT.isoformat())
    stripe.control("lag", seconds=600)
    deliver.deliver_due(now=NEXT)


def test_sums_of_a_customer_below_zero_too_and_after_a_while(sent: None, stripe: Any, acme: Any) -> None:
    account = account_of(acme.tenant.id)
    assert summaries.totals(account, "ms", MIDNIGHT, MIDNIGHT + DAY) == 0  # it lags
    stripe.control("clock", at=(NEXT + summaries.LAG).isoformat())
    assert summaries.totals(account, "ms", MIDNIGHT, MIDNIGHT + DAY) == 700
    assert summaries.totals(account, "ms", NOON - timedelta(hours=1), NOON) == -300
    assert summaries.totals(account, "amount", NOON, NOON + timedelta(minutes=1)) == 100
    assert expected(acme, "amount", MIDNIGHT, MIDNIGHT + DAY) == 70


def test_the_meter_is_found_when_we_forgot_it(sent: None, stripe: Any, acme: Any) -> None:
    ProviderObject.objects.all().delete()
    stripe.control("clock", at=(NEXT + summaries.LAG).isoformat())
    assert summaries.totals(account_of(acme.tenant.id), "ms", MIDNIGHT, MIDNIGHT + DAY) == 700


def test_whoever_is_no_customer_has_no_sums(stripe: Any, acme: Any) -> None:
    with pytest.raises(NoCustomer):
        summaries.totals(account_of(acme.tenant.id), "ms", MIDNIGHT, MIDNIGHT + DAY)


def test_while_the_provider_is_away_there_is_an_error_by_name(sent: None, stripe: Any, acme: Any) -> None:
    stripe.control("down")
    with pytest.raises(Ambiguous):
        summaries.totals(account_of(acme.tenant.id), "ms", MIDNIGHT, MIDNIGHT + DAY)
    stripe.control("up")


def test_a_sum_that_is_not_exact_is_not_used():
    assert summaries.whole(12.0) == 12
    for value in (12.5, 2.0**60):
        with pytest.raises(Permanent):
            summaries.whole(value)
