from __future__ import annotations

from types import SimpleNamespace

import pytest
import stripe

from ops.stripe.tests.receiver import receiving


@pytest.fixture
def client(local_stripe):
    return stripe.StripeClient(
        local_stripe.api_key, base_addresses=local_stripe.base_addresses, max_network_retries=0
    )


@pytest.fixture
def control(local_stripe):
    return local_stripe.control


@pytest.fixture
def standing(control):
    """The tenth of November at noon, until somebody moves it. To be asked for before `shop`."""
    return control("clock", at="2026-11-10T12:00:00+00:00", stand=True)["now"]


@pytest.fixture
def shop(client):
    """Acme and Rival, each subscribed to a price of a cent a piece on one meter, by the calendar's month."""
    meter = client.v1.billing.meters.create(
        {"display_name": "Audio", "event_name": "audio", "default_aggregation": {"formula": "sum"}}
    )
    product = client.v1.products.create({"name": "Audio"})
    price = client.v1.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "unit_amount_decimal": "1",
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
        }
    )
    found = SimpleNamespace(meter=meter, price=price)
    for name in ("acme", "rival"):
        customer = client.v1.customers.create({"name": name.capitalize()})
        subscription = client.v1.subscriptions.create(
            {
                "customer": customer.id,
                "items": [{"price": price.id}],
                "billing_cycle_anchor_config": {"day_of_month": 1, "hour": 0, "minute": 0, "second": 0},
            }
        )
        setattr(found, name, customer.id)
        setattr(found, f"{name}_subscription", subscription.id)
    return found


@pytest.fixture
def tell(client, shop):
    def say(value, identifier, customer=None, **more):
        payload = {"stripe_customer_id": customer or shop.acme, "value": str(value)}
        return client.v1.billing.meter_events.create(
            {"event_name": "audio", "payload": payload, "identifier": identifier, **more}
        )

    return say


@pytest.fixture
def totals(control):
    """What has arrived, by customer."""
    return lambda: {one["customer"]: one["value"] for one in control("received")["totals"]}


@pytest.fixture
def receiver_of_webhooks():
    with receiving() as receiver:
        yield receiver
