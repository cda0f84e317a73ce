"""What is made at the provider, once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from metering import outbox
from metering.ledger.accounts import account_of
from metering.models import ProviderObject
from metering.outbox import subscribed_since
from metering.payments import client, names, sync
from metering.payments.errors import NotConfigured, PaymentsError
from metering.payments.tests.books import NOON, change, enter, intents


def told(run_of: list[Any]) -> list[str]:
    lines: list[str] = []
    sync.Sync(tell=lines.append).tenants(run_of)
    return lines


def test_a_second_run_makes_nothing(stripe: Any, acme: Any, rival: Any) -> None:
    both = [acme.tenant, rival.tenant]
    lines = told(both)
    assert len([line for line in lines if "meter" in line]) == 2
    assert len([line for line in lines if "price" in line]) == 2
    assert len([line for line in lines if "customer" in line]) == 2
    assert len([line for line in lines if "subscription" in line]) == 2
    assert told(both) == []
    assert account_of(acme.tenant.id).customer != account_of(rival.tenant.id).customer


def test_what_we_forgot_is_found_again(stripe: Any, acme: Any, rival: Any) -> None:
    both = [acme.tenant, rival.tenant]
    told(both)
    before = dict(ProviderObject.objects.values_list("name", "provider_id"))
    ProviderObject.objects.all().delete()
    change(acme, customer="")
    assert told(both) == []
    assert dict(ProviderObject.objects.values_list("name", "provider_id")) == before
    assert account_of(acme.tenant.id).customer == before[names.customer_name(acme.tenant.id)]


def test_a_subscription_has_both_prices_and_turns_with_the_month(stripe: Any, acme: Any) -> None:
    stripe.control("clock", at=NOON.isoformat())
    sync.Sync().tenant(acme.tenant)
    account = account_of(acme.tenant.id)
    (found,) = client.connect().v1.subscriptions.list({"customer": account.customer}).data
    items = {item.price.lookup_key: item for item in found["items"].data}
    assert set(items) == {"stenogate_audio_ms_price_usd", "stenogate_amount_usd_price_usd"}
    assert str(items["stenogate_amount_usd_price_usd"].price.unit_amount_decimal) == "0.0001"
    assert {item.current_period_end for item in items.values()} == {
        int(NOON.timestamp()) + 10 * 86400 + 43200
    }
    assert subscribed_since(account) == NOON


def test_an_account_in_another_currency_has_a_meter_and_prices_of_its_own(
    stripe: Any, acme: Any, rival: Any
) -> None:
    change(rival, currency="JPY")
    told([acme.tenant])
    lines = told([rival.tenant])
    assert [line.split()[1] for line in lines] == ["price", "meter", "price", "customer", "subscription"]
    price = client.connect().v1.prices.list({"lookup_keys": ["stenogate_amount_jpy_price_jpy"]}).data[0]
    assert str(price.unit_amount_decimal) == "0.000001"


def test_an_archived_meter_is_made_active_again(stripe: Any, acme: Any) -> None:
    told([acme.tenant])
    meter_id = sync.known("meter:ms")
    client.connect().v1.billing.meters.deactivate(str(meter_id))
    sync.forget()
    assert told([acme.tenant]) == [f"made meter {names.MS_EVENT}, active again"]


def test_a_customer_that_was_deleted_is_made_anew_within_the_day(stripe: Any, acme: Any, rival: Any) -> None:
    told([acme.tenant, rival.tenant])
    deleted, other = account_of(acme.tenant.id).customer, account_of(rival.tenant.id).customer
    for _ in range(2):
        client.connect().v1.customers.delete(deleted)
        sync.forget()
        lines = told([acme.tenant, rival.tenant])
        customer = account_of(acme.tenant.id).customer
        assert [line.split()[1] for line in lines] == ["customer", "subscription"]
        assert customer != deleted
        assert client.connect().v1.customers.retrieve(customer).id == customer
        assert not getattr(client.connect().v1.customers.retrieve(customer), "deleted", False)
        deleted = customer
    assert account_of(rival.tenant.id).customer == other


def test_a_subscription_that_was_cancelled_is_made_anew_within_the_hour(
    stripe: Any, acme: Any, rival: Any
) -> None:
    told([acme.tenant, rival.tenant])
    subscriptions = client.connect().v1.subscriptions
    for _ in range(2):
        customer = account_of(acme.tenant.id).customer
        subscriptions.cancel(subscriptions.list({"customer": customer}).data[0].id)
        sync.forget()
        assert [line.split()[1] for line in told([acme.tenant, rival.tenant])] == ["subscription"]
        assert len(subscriptions.list({"customer": customer}).data) == 1


def test_when_a_subscription_began_is_known_while_all_is_looked_up_anew(stripe: Any, acme: Any) -> None:
    stripe.control("clock", at=NOON.isoformat())
    told([acme.tenant])
    sync.forget()
    assert sync.known("meter:ms") is None
    assert subscribed_since(account_of(acme.tenant.id)) == NOON


def test_the_command_says_what_it_made(stripe: Any, acme: Any, rival: Any, capsys: Any) -> None:
    call_command("stripe_sync", "--tenant", "acme")
    assert "made customer cus_" in capsys.readouterr().out
    call_command("stripe_sync", "--tenant", "acme", "--anew")
    assert capsys.readouterr().out == "1 tenants; nothing made\n"
    assert account_of(rival.tenant.id).customer == ""
    with pytest.raises(CommandError, match="no tenant nobody"):
        call_command("stripe_sync", "--tenant", "nobody")


def test_without_a_key_it_says_so(acme: Any) -> None:
    with pytest.raises(CommandError, match="STRIPE_API_KEY"):
        call_command("stripe_sync", "--tenant", "acme")
    with pytest.raises(NotConfigured):
        client.connect()


def test_nothing_is_told_of_a_customer_without_a_subscription(stripe: Any, acme: Any) -> None:
    """What Stripe hears before the subscription begins is on no invoice."""
    stripe.control("clock", at=NOON.isoformat())
    enter(acme, at=NOON)
    later = NOON + timedelta(hours=2)
    stripe.control("faults", kind="status", status=500, when="before", path="/v1/subscriptions", times=None)
    with pytest.raises(PaymentsError):
        sync.Sync().tenant(acme.tenant)
    assert outbox.fill(now=later) == 0
    stripe.control("faults", clear=True)
    stripe.control("clock", at=later.isoformat())
    sync.Sync().tenant(acme.tenant)
    assert outbox.fill(now=later) == 2
    assert {one.timestamp for one in intents(acme)} == {later}
