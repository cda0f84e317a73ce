"""Customers."""

from __future__ import annotations

import re
from typing import Any

from ops.stripe import events
from ops.stripe.errors import Refusal, no_such
from ops.stripe.store import Object, new_id
from ops.stripe.world import Call, created_within, merged_metadata, page

PLAIN = ("name", "email", "description", "phone", "address", "preferred_locales", "tax_exempt")


def create(call: Call) -> Object:
    customer: Object = {
        "id": new_id("cus", 14),
        "object": "customer",
        "created": call.now,
        "livemode": False,
        "balance": 0,
        "currency": None,
        "delinquent": False,
        "default_source": None,
        "discount": None,
        "invoice_prefix": new_id("x", 8)[2:].upper(),
        "invoice_settings": {
            "custom_fields": None, "default_payment_method": None, "footer": None, "rendering_options": None,
        },
        "metadata": {},
        "next_invoice_sequence": 1,
        "shipping": None,
        "test_clock": None,
        **dict.fromkeys(PLAIN),
        "preferred_locales": [],
        "tax_exempt": "none",
    }  # fmt: skip
    _change(call, customer)
    call.store.put(customer)
    events.emit(call.world, "customer.created", customer, call)
    return customer


def retrieve(call: Call) -> Object:
    name = call.ids["customer"]
    deleted = call.store.get("customer", name)
    return deleted if deleted and deleted.get("deleted") else call.find("customer")


def update(call: Call) -> Object:
    customer = call.find("customer")
    _change(call, customer)
    call.store.put(customer)
    events.emit(call.world, "customer.updated", customer, call)
    return customer


def delete(call: Call) -> Object:
    """With all subscriptions, at once."""
    customer = call.find("customer")
    for one in call.store.all("subscription"):
        if one["customer"] == customer["id"] and one["status"] != "canceled":
            one.update(status="canceled", canceled_at=call.now, ended_at=call.now)
            call.store.put(one)
            events.emit(call.world, "customer.subscription.deleted", one, call)
    events.emit(call.world, "customer.deleted", customer, call)
    return call.store.put({"id": customer["id"], "object": "customer", "deleted": True})


def listed(call: Call) -> Object:
    found = created_within(_there(call), call.params.get("created"))
    if "email" in call.params:
        found = [one for one in found if one["email"] == call.params["email"]]
    return page(call, found)


def search(call: Call) -> Object:
    """Clauses `field:"value"`, `metadata["key"]:"value"` and `-clause`, joined by AND."""
    found = [one for one in _there(call) if matches(one, call.params["query"])]
    return {
        "object": "search_result", "data": found[: call.params.get("limit", 10)],
        "has_more": len(found) > call.params.get("limit", 10), "next_page": None, "url": call.path,
    }  # fmt: skip


CLAUSE = re.compile(r"""\s*(-?)(\w+)(?:\[["']([^"']+)["']\])?\s*:\s*["']([^"']*)["']\s*""")


def matches(customer: Object, query: str) -> bool:
    for clause in re.split(r"\s+AND\s+", query):
        match = CLAUSE.fullmatch(clause)
        if match is None:
            raise Refusal(f"We were unable to parse your search query: {clause[:100]}", param="query")
        negated, name, key, value = match.groups()
        there: Any = customer["metadata"].get(key) if key else customer.get(name)
        if (there == value) == bool(negated):
            return False
    return True


def existing(call: Call, name: str, param: str = "customer") -> Object:
    """The customer that a parameter names."""
    found = call.store.get("customer", name)
    if found is None or found.get("deleted"):
        raise no_such("customer", name, param)
    return found


def _there(call: Call) -> list[Object]:
    return [one for one in call.store.all("customer") if not one.get("deleted")]


def _change(call: Call, customer: Object) -> None:
    given = call.params
    for name in PLAIN:
        if name in given:
            customer[name] = given[name] or None
    customer["preferred_locales"] = customer["preferred_locales"] or []
    customer["tax_exempt"] = customer["tax_exempt"] or "none"
    if customer["address"]:
        parts = ("city", "country", "line1", "line2", "postal_code", "state")
        customer["address"] = {part: customer["address"].get(part) for part in parts}
    customer["metadata"] = merged_metadata(customer["metadata"], given.get("metadata"))
    if method := given.get("invoice_settings", {}).get("default_payment_method"):
        card = call.store.get("payment_method", method)
        if card is None or card["customer"] != customer["id"]:
            param = "invoice_settings[default_payment_method]"
            raise no_such("payment_method", method, param)
        customer["invoice_settings"]["default_payment_method"] = method
    if set(given) - {*PLAIN, "metadata", "invoice_settings", "expand"}:
        raise not_served(set(given) - {*PLAIN, "metadata", "invoice_settings", "expand"})


def not_served(names: set[str]) -> Refusal:
    """Stripe takes it; this one does not, and says so rather than forget it silently."""
    listed = ", ".join(sorted(names))
    return Refusal(
        f"The local Stripe does not serve the parameter {listed}.", code="not_served", param=listed
    )
