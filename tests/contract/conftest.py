"""Who is asked: the local Stripe, or a sandbox of Stripe's where STRIPE_API_KEY has its key."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import stripe


@dataclass(frozen=True)
class Provider:
    client: stripe.StripeClient
    key: str
    local: Any  # of what only the local one can do; None at a sandbox
    # A sandbox keeps what other runs have left, so nothing here has a name that another run could have.
    mark: str

    def another(self, key: str) -> stripe.StripeClient:
        """As somebody else, or with a token in place of a key."""
        if self.local is None:
            return stripe.StripeClient(key, max_network_retries=0)
        return stripe.StripeClient(key, base_addresses=self.local.base_addresses, max_network_retries=0)

    def eventually(self, look: Callable[[], bool], what: str) -> None:
        """What is aggregated or reported later: at once here, within minutes at a sandbox."""
        deadline = time.monotonic() + (10 if self.local else 600)
        while not look():
            assert time.monotonic() < deadline, f"waited in vain: {what}"
            if self.local:
                self.local.control("turn")
            time.sleep(0.05 if self.local else 5)


@pytest.fixture
def provider(request, stripe_sandbox_key):
    mark = secrets.token_hex(6)
    if stripe_sandbox_key:
        # Sandboxes take 25 requests a second, and we are not their only guest.
        client = stripe.StripeClient(stripe_sandbox_key, max_network_retries=4)
        return Provider(client, stripe_sandbox_key, None, mark)
    local = request.getfixturevalue("local_stripe")
    client = stripe.StripeClient(local.api_key, base_addresses=local.base_addresses, max_network_retries=0)
    return Provider(client, local.api_key, local, mark)


@dataclass(frozen=True)
class Metered:
    """A customer with a subscription to a price on a meter, and one whom nothing here concerns."""

    customer: str
    rival: str
    meter: Any
    price: Any
    subscription: Any


@pytest.fixture
def metered(provider):
    """A millionth of a dollar a piece: 0.0001 cents."""
    client = provider.client
    customer = client.v1.customers.create({"name": "Acme", "metadata": {"tenant": provider.mark}})
    rival = client.v1.customers.create({"name": "Rival"})
    meter = client.v1.billing.meters.create(
        {
            "display_name": f"contract {provider.mark}",
            "event_name": f"contract_{provider.mark}",
            "default_aggregation": {"formula": "sum"},
        }
    )
    product = client.v1.products.create({"name": f"Audio {provider.mark}"})
    price = client.v1.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "unit_amount_decimal": "0.0001",
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
            "lookup_key": f"contract_{provider.mark}",
        }
    )
    subscription = client.v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": price.id}], "proration_behavior": "none"}
    )
    yield Metered(customer.id, rival.id, meter, price, subscription)
    if provider.local is None:
        client.v1.subscriptions.cancel(subscription.id)
        client.v1.customers.delete(customer.id)
        client.v1.customers.delete(rival.id)
        client.v1.billing.meters.deactivate(meter.id)
