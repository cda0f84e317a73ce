"""What metering relies on at Stripe: of the local one, and of a sandbox where STRIPE_API_KEY has its key."""

from __future__ import annotations

import pytest
import stripe


@pytest.fixture
def client(local_stripe):
    return stripe.StripeClient(
        local_stripe.api_key, base_addresses=local_stripe.base_addresses, max_network_retries=0
    )


def test_a_customer_is_found_by_its_metadata(client):
    made = client.v1.customers.create({"name": "Acme", "metadata": {"tenant": "acme"}})
    assert client.v1.customers.retrieve(made.id).metadata.to_dict() == {"tenant": "acme"}
