"""Every path that is served, as Stripe's document writes it, and what does it."""

from __future__ import annotations

from ops.stripe import catalogue, customers, events, meter_events, meters, streams
from ops.stripe.world import Handler

ROUTES: dict[tuple[str, str], Handler] = {
    ("POST", "/v1/customers"): customers.create,
    ("GET", "/v1/customers"): customers.listed,
    ("GET", "/v1/customers/search"): customers.search,
    ("GET", "/v1/customers/{customer}"): customers.retrieve,
    ("POST", "/v1/customers/{customer}"): customers.update,
    ("DELETE", "/v1/customers/{customer}"): customers.delete,
    ("POST", "/v1/products"): catalogue.create_product,
    ("GET", "/v1/products"): catalogue.list_products,
    ("GET", "/v1/products/{id}"): catalogue.retrieve_product,
    ("POST", "/v1/products/{id}"): catalogue.update_product,
    ("POST", "/v1/prices"): catalogue.create_price,
    ("GET", "/v1/prices"): catalogue.list_prices,
    ("GET", "/v1/prices/{price}"): catalogue.retrieve_price,
    ("POST", "/v1/prices/{price}"): catalogue.update_price,
    ("POST", "/v1/billing/meters"): meters.create,
    ("GET", "/v1/billing/meters"): meters.listed,
    ("GET", "/v1/billing/meters/{id}"): meters.retrieve,
    ("POST", "/v1/billing/meters/{id}"): meters.update,
    ("POST", "/v1/billing/meters/{id}/deactivate"): meters.deactivate,
    ("POST", "/v1/billing/meters/{id}/reactivate"): meters.reactivate,
    ("GET", "/v1/billing/meters/{id}/event_summaries"): meters.summaries,
    ("POST", "/v1/billing/meter_events"): meter_events.create,
    ("POST", "/v1/billing/meter_event_adjustments"): meter_events.adjust,
    ("GET", "/v1/events"): events.listed,
    ("GET", "/v1/events/{id}"): events.retrieve,
    # Not in Stripe's document, which is of v1 alone.
    ("GET", "/v2/core/events"): events.list_thin,
    ("GET", "/v2/core/events/{id}"): events.retrieve_thin,
    ("POST", "/v2/billing/meter_event_session"): streams.session,
    ("POST", streams.STREAM): streams.stream,
}
