"""Cards, and whether they pay."""

from __future__ import annotations

from ops.stripe import events
from ops.stripe.customers import existing, not_served
from ops.stripe.errors import Refusal
from ops.stripe.store import Object, Store, new_id
from ops.stripe.world import Call, World, page

# As Stripe's test cards: what can be used in place of a payment method or a token.
WELL_KNOWN = {
    "pm_card_visa": True, "tok_visa": True,
    "pm_card_chargeCustomerFail": False, "tok_chargeCustomerFail": False,
}  # fmt: skip


def succeeds(store: Store, customer: str) -> bool:
    """As `/_control/payments` has it, else as the customer's card is; without a card nothing is paid."""
    told = store.setting("payments", {})
    outcome = told.get(customer, told.get("*"))
    if outcome is not None:
        return bool(outcome == "succeed")
    settings = (store.get("customer", customer) or {}).get("invoice_settings") or {}
    card = settings.get("default_payment_method")
    return bool(card) and card not in store.setting("declining", [])


def add_card(world: World, customer: str | None, good: bool) -> Object:
    method: Object = {
        "id": new_id("pm"),
        "object": "payment_method",
        "billing_details": {"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
        "card": {
            "brand": "visa", "country": "US", "exp_month": 12, "exp_year": 2035, "funding": "credit",
            "last4": "4242" if good else "0341", "wallet": None,
        },
        "created": world.now,
        "customer": customer,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }  # fmt: skip
    world.store.put(method)
    if not good:
        world.store.set("declining", [*world.store.setting("declining", []), method["id"]])
    return method


def make_default(world: World, customer: str, method: Object) -> None:
    about = world.store.get("customer", customer)
    if about:
        about["invoice_settings"]["default_payment_method"] = method["id"]
        world.store.put(about)
        events.emit(world, "payment_method.attached", method)
        events.emit(world, "customer.updated", about)


def set_up(world: World, method: Object) -> Object:
    """That a customer has let this card be used, later and without him."""
    intent: Object = {
        "id": new_id("seti"),
        "object": "setup_intent",
        "created": world.now,
        "customer": method["customer"],
        "description": None,
        "livemode": False,
        "metadata": {},
        "payment_method": method["id"],
        "payment_method_types": ["card"],
        "status": "succeeded",
        "usage": "off_session",
    }
    world.store.put(intent)
    events.emit(world, "setup_intent.succeeded", intent)
    return intent


def retrieve_setup(call: Call) -> Object:
    return call.find("setup_intent")


def create(call: Call) -> Object:
    given = call.params
    token = given.get("card", {}).get("token") if isinstance(given.get("card"), dict) else None
    if given.get("type") != "card" or token not in WELL_KNOWN or set(given) - {"type", "card", "expand"}:
        raise Refusal(
            f"The local Stripe makes cards of the tokens {', '.join(WELL_KNOWN)} only.", code="not_served"
        )
    return add_card(call.world, None, WELL_KNOWN[token])


def attach(call: Call) -> Object:
    name, given = call.ids["payment_method"], call.params
    if set(given) - {"customer", "expand"}:
        raise not_served(set(given) - {"customer", "expand"})
    customer = existing(call, given.get("customer", ""))
    if name in WELL_KNOWN:
        method = add_card(call.world, customer["id"], WELL_KNOWN[name])
    else:
        method = {**call.find("payment_method"), "customer": customer["id"]}
        call.store.put(method)
    events.emit(call.world, "payment_method.attached", method, call)
    return method


def detach(call: Call) -> Object:
    method = call.find("payment_method")
    owner = call.store.get("customer", method["customer"] or "")
    if owner and owner.get("invoice_settings", {}).get("default_payment_method") == method["id"]:
        owner["invoice_settings"]["default_payment_method"] = None
        call.store.put(owner)
    method["customer"] = None
    call.store.put(method)
    events.emit(call.world, "payment_method.detached", method, call)
    return method


def retrieve(call: Call) -> Object:
    return call.find("payment_method")


def of_customer(call: Call) -> Object:
    customer = existing(call, call.ids["customer"])["id"]
    return page(call, [one for one in call.store.all("payment_method") if one["customer"] == customer])
