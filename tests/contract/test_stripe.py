"""What metering relies on at Stripe: customers, prices, errors, idempotency."""

from __future__ import annotations

import pytest
import stripe


def test_a_customer_is_kept_changed_found_in_the_list_and_deleted(provider):
    customers = provider.client.v1.customers
    made = customers.create({"name": "Acme", "email": "a@acme.example", "metadata": {"tenant": "acme"}})
    other = customers.create({"name": "Rival", "metadata": {"tenant": "rival"}})
    assert made.id.startswith("cus_")
    assert not made.livemode

    customers.update(made.id, {"metadata": {"plan": "gold", "tenant": ""}})
    again = customers.retrieve(made.id)
    assert (again.name, again.email, again.metadata.to_dict()) == ("Acme", "a@acme.example", {"plan": "gold"})
    assert customers.retrieve(other.id).metadata.to_dict() == {"tenant": "rival"}
    assert {made.id, other.id} <= {one.id for one in customers.list({"limit": 20})}

    assert customers.delete(made.id).deleted
    assert customers.retrieve(made.id).deleted
    assert made.id not in {one.id for one in customers.list({"limit": 20})}


def test_lists_come_in_pages_newest_first(provider):
    customers = provider.client.v1.customers
    email = f"{provider.mark}@acme.example"
    made = [customers.create({"name": f"Acme {n}", "email": email}).id for n in range(5)]
    first = customers.list({"email": email, "limit": 2})
    assert [one.id for one in first.data] == [made[4], made[3]]
    assert first.has_more
    last = customers.list({"email": email, "limit": 2, "starting_after": made[1]})
    assert [one.id for one in last.data] == [made[0]]
    assert not last.has_more
    before = customers.list({"email": email, "limit": 2, "ending_before": made[0]})
    assert [one.id for one in before.data] == [made[2], made[1]]
    assert before.has_more
    everybody = customers.list({"email": email, "limit": 2}).auto_paging_iter()
    assert [one.id for one in everybody] == made[::-1]


def test_a_parameter_that_stripe_does_not_know_is_refused_by_name(provider):
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        provider.client.v1.customers.create({"nmae": "Acme"})
    assert refusal.value.http_status == 400
    assert refusal.value.code == "parameter_unknown"
    assert refusal.value.param == "nmae"


def test_a_parameter_that_is_missing_is_refused_by_name(provider):
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        provider.client.v1.billing.meters.create({"display_name": "Audio", "event_name": "audio"})
    assert refusal.value.code == "parameter_missing"
    assert refusal.value.param == "default_aggregation"


def test_what_is_not_there_is_404(provider):
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        provider.client.v1.customers.retrieve("cus_of_nobody")
    assert refusal.value.http_status == 404
    assert refusal.value.code == "resource_missing"
    assert "No such customer" in refusal.value.user_message
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        provider.client.v1.products.retrieve("product_of_nobody")
    assert (refusal.value.http_status, refusal.value.code) == (404, "resource_missing")


def test_a_wrong_key_opens_nothing_and_every_answer_has_a_request_id(provider):
    with pytest.raises(stripe.AuthenticationError) as refusal:
        provider.another("sk_wrong_key").v1.customers.list()
    assert refusal.value.http_status == 401
    assert "sk_wrong_key" not in refusal.value.user_message
    made = provider.client.v1.customers.create({"name": "Acme"})
    assert made.last_response.headers["Request-Id"].startswith("req_")


def test_the_same_idempotency_key_does_it_once(provider):
    customers, options = provider.client.v1.customers, {"idempotency_key": f"once-{provider.mark}"}
    made = customers.create({"name": "Acme"}, options)
    again = customers.create({"name": "Acme"}, options)
    assert again.id == made.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError) as refusal:
        customers.create({"name": "Rival"}, options)
    assert refusal.value.http_status == 400


def test_a_product_has_the_id_that_it_is_given_once(provider):
    products, name = provider.client.v1.products, f"audio_{provider.mark}"
    assert products.create({"id": name, "name": "Audio"}).id == name
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        products.create({"id": name, "name": "Audio"})
    assert refusal.value.code == "resource_already_exists"


def test_a_price_is_found_by_its_key_with_every_decimal_that_it_was_given(provider, metered):
    found = provider.client.v1.prices.list(
        {"lookup_keys": [f"contract_{provider.mark}"], "active": True, "expand": ["data.product"]}
    )
    (price,) = found.data
    assert price.id == metered.price.id
    assert str(price.unit_amount_decimal) == "0.0001"
    assert price.unit_amount is None
    assert price.recurring.meter == metered.meter.id
    assert price.product.name == f"Audio {provider.mark}"


def test_a_price_without_cost_can_be_had(provider, metered):
    price = provider.client.v1.prices.create(
        {
            "product": metered.price.product,
            "currency": "usd",
            "unit_amount_decimal": "0",
            "recurring": {"interval": "month", "usage_type": "metered", "meter": metered.meter.id},
        }
    )
    assert price.unit_amount == 0


def test_a_metered_price_needs_a_meter(provider, metered):
    with pytest.raises(stripe.InvalidRequestError):
        provider.client.v1.prices.create(
            {
                "product": metered.price.product,
                "currency": "usd",
                "unit_amount": 1,
                "recurring": {"interval": "month", "usage_type": "metered"},
            }
        )


def test_of_one_event_name_there_is_one_active_meter(provider, metered):
    meters = provider.client.v1.billing.meters
    same = {
        "display_name": "again",
        "event_name": metered.meter.event_name,
        "default_aggregation": {"formula": "sum"},
    }
    with pytest.raises(stripe.InvalidRequestError):
        meters.create(same)
    assert meters.retrieve(metered.meter.id).status == "active"
    assert meters.update(metered.meter.id, {"display_name": "other"}).display_name == "other"
    assert metered.meter.id in {one.id for one in meters.list({"status": "active"}).auto_paging_iter()}


def test_a_meter_sleeps_and_wakes(provider):
    meters = provider.client.v1.billing.meters
    made = meters.create(
        {
            "display_name": "sleeper",
            "event_name": f"sleeper_{provider.mark}",
            "default_aggregation": {"formula": "sum"},
        }
    )
    asleep = meters.deactivate(made.id)
    assert asleep.status == "inactive"
    assert asleep.status_transitions.deactivated_at
    assert meters.reactivate(made.id).status == "active"
    meters.deactivate(made.id)


def test_a_subscription_is_found_by_its_customer_and_has_its_period(provider, metered):
    subscriptions = provider.client.v1.subscriptions
    (found,) = subscriptions.list({"customer": metered.customer, "limit": 100}).data
    assert found.id == metered.subscription.id
    assert found.status == "active"
    (item,) = found["items"].data
    assert item.price.id == metered.price.id
    assert item.current_period_start <= found.created < item.current_period_end
    assert subscriptions.list({"customer": metered.rival}).data == []


def test_a_subscription_can_turn_with_the_calendar_s_month(provider, metered):
    made = provider.client.v1.subscriptions.create(
        {
            "customer": metered.rival,
            "items": [{"price": metered.price.id}],
            "billing_cycle_anchor_config": {"day_of_month": 1, "hour": 0, "minute": 0, "second": 0},
            "proration_behavior": "none",
        }
    )
    end = made["items"].data[0].current_period_end
    assert end % 86400 == 0
    assert 0 < end - made.created <= 31 * 86400
    assert provider.client.v1.subscriptions.cancel(made.id).status == "canceled"
    assert provider.client.v1.subscriptions.list({"customer": metered.rival}).data == []


def test_a_customer_is_sent_to_a_page_to_leave_a_card(provider, metered):
    session = provider.client.v1.checkout.sessions.create(
        {
            "mode": "setup",
            "customer": metered.customer,
            "currency": "usd",
            "success_url": "https://stt.example.com/done",
        }
    )
    assert session.status == "open"
    assert session.url.startswith("http")
    assert provider.client.v1.checkout.sessions.expire(session.id).status == "expired"


def test_credit_that_was_paid_for_is_granted_once_and_found_again(provider, metered):
    grants = provider.client.v1.billing.credit_grants
    given = {
        "customer": metered.customer,
        "name": "Prepaid credit",
        "category": "paid",
        "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": 5000}},
        "applicability_config": {"scope": {"price_type": "metered"}},
        "metadata": {"payment": provider.mark},
    }
    options = {"idempotency_key": f"credit-{provider.mark}"}
    made = grants.create(given, options)
    assert grants.create(given, options).id == made.id
    (found,) = grants.list({"customer": metered.customer, "limit": 100}).data
    assert found.id == made.id
    assert found.metadata.to_dict() == {"payment": provider.mark}
    assert (found.amount.monetary.value, found.amount.monetary.currency) == (5000, "usd")
    assert grants.list({"customer": metered.rival}).data == []
