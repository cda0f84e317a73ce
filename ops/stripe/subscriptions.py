"""Subscriptions: which metered prices a customer pays, and in which periods."""

from __future__ import annotations

from ops.stripe import events, invoices, periods
from ops.stripe.customers import existing, not_served
from ops.stripe.errors import Refusal, no_such
from ops.stripe.store import Object, new_id
from ops.stripe.world import Call, World, created_within, merged_metadata, page

TAKEN = {
    "backdate_start_date", "billing_cycle_anchor", "billing_cycle_anchor_config", "collection_method",
    "currency", "customer", "default_payment_method", "description", "days_until_due", "expand", "items",
    "metadata", "off_session", "payment_behavior", "payment_settings", "proration_behavior", "billing_mode",
}  # fmt: skip
MAX_ITEMS = 20


def create(call: Call) -> Object:
    given = call.params
    if set(given) - TAKEN:
        raise not_served(set(given) - TAKEN)
    for name in ("customer", "items"):
        if not given.get(name):
            raise Refusal(f"Missing required param: {name}.", code="parameter_missing", param=name)
    customer = existing(call, given["customer"])
    prices = [_price(call, item, n) for n, item in enumerate(given["items"])]
    if len({price["currency"] for price in prices}) > 1 or len(prices) > MAX_ITEMS:
        raise Refusal("All prices of a subscription must have one currency.", param="items")
    if len({price["id"] for price in prices}) < len(prices):
        raise Refusal("The same price twice in one subscription.", param="items")
    start = given.get("backdate_start_date", call.now)
    if "billing_cycle_anchor" in given and "billing_cycle_anchor_config" in given:
        raise Refusal(
            "billing_cycle_anchor and billing_cycle_anchor_config exclude each other.", param="items"
        )
    recurring = prices[0]["recurring"]
    if config := given.get("billing_cycle_anchor_config"):
        end = periods.first_turn(call.now, config)
        anchor = end
    elif "billing_cycle_anchor" in given:
        anchor = end = given["billing_cycle_anchor"]
        if anchor <= call.now:
            raise Refusal("billing_cycle_anchor must be in the future.", param="billing_cycle_anchor")
    else:
        anchor = call.now
        end = periods.later(call.now, anchor, recurring["interval"], recurring["interval_count"])
    name = new_id("sub")
    subscription: Object = {
        "id": name,
        "object": "subscription",
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": anchor,
        "billing_cycle_anchor_config": {
            part: config.get(part) for part in ("day_of_month", "hour", "minute", "month", "second")
        }
        if config
        else None,
        "billing_mode": {"type": "flexible", "flexible": None},
        "billing_schedules": [],
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "collection_method": given.get("collection_method", "charge_automatically"),
        "created": call.now,
        "currency": prices[0]["currency"],
        "customer": customer["id"],
        "days_until_due": given.get("days_until_due"),
        "default_payment_method": given.get("default_payment_method"),
        "default_tax_rates": [],
        "description": given.get("description"),
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": {
            "object": "list",
            "data": [_item(name, price, call.now, start, end) for price in prices],
            "has_more": False,
            "url": f"/v1/subscription_items?subscription={name}",
        },
        "latest_invoice": None,
        "livemode": False,
        "metadata": merged_metadata({}, given.get("metadata")),
        "start_date": start,
        "status": "active",
        "test_clock": None,
    }
    call.store.put(subscription)
    if customer["currency"] is None:
        call.store.put({**customer, "currency": prices[0]["currency"]})
    events.emit(call.world, "customer.subscription.created", subscription, call)
    return subscription


def retrieve(call: Call) -> Object:
    return call.find("subscription")


def update(call: Call) -> Object:
    subscription, given = call.find("subscription"), call.params
    taken = {"metadata", "description", "default_payment_method", "cancel_at_period_end", "expand"}
    if set(given) - taken:
        raise not_served(set(given) - taken)
    subscription["metadata"] = merged_metadata(subscription["metadata"], given.get("metadata"))
    plain = ("description", "default_payment_method", "cancel_at_period_end")
    subscription.update({name: given[name] for name in plain if name in given})
    return _changed(call, subscription, "updated")


def cancel(call: Call) -> Object:
    """At once. What was used and not invoiced is invoiced with `invoice_now`, else lost, as at Stripe."""
    subscription = call.find("subscription")
    if subscription["status"] == "canceled":
        raise Refusal(f"No such subscription: {subscription['id']}", status=404, code="resource_missing")
    if call.params.get("invoice_now"):
        start = min(item["current_period_start"] for item in subscription["items"]["data"])
        invoices.draft(call.world, subscription, start, call.now, "subscription_update")
    subscription.update(status="canceled", canceled_at=call.now, ended_at=call.now)
    return _changed(call, subscription, "deleted")


def listed(call: Call) -> Object:
    given, found = call.params, created_within(call.store.all("subscription"), call.params.get("created"))
    if "customer" in given:
        found = [one for one in found if one["customer"] == given["customer"]]
    if "price" in given:
        found = [o for o in found if any(i["price"]["id"] == given["price"] for i in o["items"]["data"])]
    status = given.get("status")
    if status is None:
        found = [one for one in found if one["status"] != "canceled"]
    elif status != "all":
        found = [one for one in found if one["status"] in (status, {"ended": "canceled"}.get(status))]
    return page(call, found)


def turn(world: World) -> None:
    """Every period that has ended becomes a draft, and the next one begins."""
    due = world.store.all("subscription", "$.items.data[0].current_period_end", world.now)
    for subscription in reversed(due):
        while subscription["status"] in ("active", "past_due"):
            item = subscription["items"]["data"][0]
            start, end = item["current_period_start"], item["current_period_end"]
            if end > world.now:
                break
            recurring = item["price"]["recurring"]
            following = periods.later(
                end, subscription["billing_cycle_anchor"], recurring["interval"], recurring["interval_count"]
            )
            for one in subscription["items"]["data"]:
                one.update(current_period_start=end, current_period_end=following)
            if subscription["cancel_at_period_end"]:
                subscription.update(status="canceled", canceled_at=end, ended_at=end)
            world.store.put(subscription)
            # Its own time, so that a clock moved by a year makes what a year would have made.
            invoices.draft(world, subscription, start, end, "subscription_cycle", at=end)
            subscription = world.store.get("subscription", subscription["id"]) or subscription
            ended = subscription["status"] == "canceled"
            events.emit(world, f"customer.subscription.{'deleted' if ended else 'updated'}", subscription)


def _changed(call: Call, subscription: Object, how: str) -> Object:
    call.store.put(subscription)
    events.emit(call.world, f"customer.subscription.{how}", subscription, call)
    return subscription


def _price(call: Call, item: Object, n: int) -> Object:
    if set(item) - {"price", "metadata", "quantity"}:
        raise not_served(set(item) - {"price", "metadata", "quantity"})
    if "price" not in item:
        raise Refusal("Missing required param: price.", code="parameter_missing", param=f"items[{n}][price]")
    price = call.store.get("price", item["price"])
    if price is None:
        raise no_such("price", item["price"], f"items[{n}][price]")
    if not price["active"]:
        raise Refusal("The price is inactive.", param=f"items[{n}][price]")
    if not price["recurring"] or price["recurring"]["usage_type"] != "metered":
        raise Refusal("The local Stripe serves metered prices only.", code="not_served", param="items")
    if "quantity" in item:
        raise Refusal("Quantity is not allowed with a metered price.", param=f"items[{n}][quantity]")
    return price


def _item(subscription: str, price: Object, now: int, start: int, end: int) -> Object:
    return {
        "id": new_id("si", 14),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": now,
        "current_period_start": start,
        "current_period_end": end,
        "discounts": [],
        "metadata": {},
        "price": price,
        "subscription": subscription,
        "tax_rates": [],
    }
