"""Credit grants: money that was paid before, taken off invoices of metered prices, the oldest first."""

from __future__ import annotations

from ops.stripe.customers import existing, not_served
from ops.stripe.errors import Refusal
from ops.stripe.store import Object, Store, new_id
from ops.stripe.world import Call, merged_metadata, page

TAKEN = {"amount", "applicability_config", "category", "customer", "expand", "metadata", "name", "priority"}
USED = "grants_used"  # of each grant, by its id; the object itself does not say


def create(call: Call) -> Object:
    given = call.params
    if set(given) - TAKEN:
        raise not_served(set(given) - TAKEN)
    customer = existing(call, given.get("customer", ""))
    money = given["amount"].get("monetary")
    if money is None or money["value"] <= 0:
        raise Refusal("amount[monetary][value] must be a positive integer.", param="amount[monetary][value]")
    if given["applicability_config"]["scope"].get("price_type") != "metered":
        raise Refusal("The local Stripe grants credit for all metered prices only.", code="not_served")
    return call.store.put(
        {
            "id": new_id("credgr_test"),
            "object": "billing.credit_grant",
            "amount": {
                "type": "monetary",
                "monetary": {"currency": money["currency"].lower(), "value": money["value"]},
            },
            "applicability_config": {"scope": {"price_type": "metered"}},
            "category": given.get("category", "paid"),
            "created": call.now,
            "customer": customer["id"],
            "customer_account": None,
            "effective_at": call.now,
            "expires_at": None,
            "livemode": False,
            "metadata": merged_metadata({}, given.get("metadata")),
            "name": given.get("name"),
            "priority": given.get("priority", 50),
            "test_clock": None,
            "updated": call.now,
            "voided_at": None,
        }
    )


def retrieve(call: Call) -> Object:
    return call.find("billing.credit_grant")


def listed(call: Call) -> Object:
    found = call.store.all("billing.credit_grant")
    if "customer" in call.params:
        found = [one for one in found if one["customer"] == call.params["customer"]]
    return page(call, found)


def left(store: Store, customer: str, currency: str) -> int:
    """What of a customer's grants no invoice has used."""
    return sum(rest for _, rest in _rests(store, customer, currency))


def use(store: Store, customer: str, currency: str, amount: int) -> None:
    """An invoice that becomes final takes it."""
    used = store.setting(USED, {})
    for name, rest in _rests(store, customer, currency):
        taken = min(rest, amount)
        used[name] = used.get(name, 0) + taken
        amount -= taken
    store.set(USED, used)


def _rests(store: Store, customer: str, currency: str) -> list[tuple[str, int]]:
    used = store.setting(USED, {})
    return [
        (one["id"], one["amount"]["monetary"]["value"] - used.get(one["id"], 0))
        for one in reversed(store.all("billing.credit_grant"))
        if one["customer"] == customer and one["amount"]["monetary"]["currency"] == currency
    ]
