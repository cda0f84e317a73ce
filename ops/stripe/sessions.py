"""Pages that one sends a customer to: the billing portal and Checkout."""

from __future__ import annotations

from decimal import Decimal

from ops.stripe import events, payments
from ops.stripe.customers import existing, not_served
from ops.stripe.errors import Refusal, no_such
from ops.stripe.store import Object, new_id
from ops.stripe.world import Call, World, created_within, page

CHECKOUT_S = 24 * 3600
CHECKOUT_TAKEN = {
    "cancel_url", "client_reference_id", "currency", "customer", "expand", "line_items", "metadata", "mode",
    "payment_method_types", "success_url", "ui_mode", "customer_update",
}  # fmt: skip


def portal(call: Call) -> Object:
    given = call.params
    if set(given) - {"customer", "return_url", "expand", "locale"}:
        raise not_served(set(given) - {"customer", "return_url", "expand", "locale"})
    if "customer" not in given:
        raise Refusal("Missing required param: customer.", code="parameter_missing", param="customer")
    customer = existing(call, given["customer"])["id"]
    return opened(call.world, customer, return_url=given.get("return_url"), locale=given.get("locale"))


def opened(world: World, customer: str, return_url: str | None, locale: str | None = None) -> Object:
    name = new_id("bps")
    return world.store.put(
        {
            "id": name,
            "object": "billing_portal.session",
            "configuration": "bpc_local",
            "created": world.now,
            "customer": customer,
            "flow": None,
            "livemode": False,
            "locale": locale,
            "on_behalf_of": None,
            "return_url": return_url,
            "url": f"{world.base_url}/portal/session/{name}",
        }
    )


def checkout(call: Call) -> Object:
    given = call.params
    if set(given) - CHECKOUT_TAKEN:
        raise not_served(set(given) - CHECKOUT_TAKEN)
    if given.get("mode") not in ("setup", "payment"):
        raise Refusal("The local Stripe serves the modes setup and payment.", code="not_served", param="mode")
    if "customer" in given:
        existing(call, given["customer"])
    elif given["mode"] == "setup":
        raise not_served({"customer, left out"})
    total, currency = _total(call) if given["mode"] == "payment" else (None, given.get("currency"))
    name = new_id("cs_test", 58)
    session: Object = {
        "id": name,
        "object": "checkout.session",
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "cancel_url": given.get("cancel_url"),
        "client_reference_id": given.get("client_reference_id"),
        "created": call.now,
        "currency": currency,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None, "shipping_address": None, "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": given.get("customer"),
        "expires_at": call.now + CHECKOUT_S,
        "livemode": False,
        "metadata": given.get("metadata", {}),
        "mode": given["mode"],
        "payment_intent": None,
        "payment_method_types": given.get("payment_method_types", ["card"]),
        "payment_status": "unpaid" if given["mode"] == "payment" else "no_payment_required",
        "setup_intent": None,
        "shipping_options": [],
        "status": "open",
        "success_url": given.get("success_url"),
        "url": f"{call.world.base_url}/checkout/{name}",
    }  # fmt: skip
    return call.store.put(session)


def _total(call: Call) -> tuple[int, str]:
    items = call.params.get("line_items")
    if not items:
        raise Refusal("Missing required param: line_items.", code="parameter_missing", param="line_items")
    total, currencies = Decimal(0), set()
    for n, item in enumerate(items):
        price = item.get("price_data")
        if price is None:
            price = call.store.get("price", item.get("price", ""))
            if price is None:
                raise no_such("price", item.get("price", ""), f"line_items[{n}][price]")
        if price.get("recurring"):
            raise Refusal("A payment takes one-time prices only.", param=f"line_items[{n}]")
        unit = price.get("unit_amount_decimal") or price.get("unit_amount") or 0
        total += Decimal(unit) * item.get("quantity", 1)
        currencies.add(price["currency"].lower())
    if len(currencies) > 1 or total != int(total) or total <= 0:
        raise Refusal("The items must have one currency and come to whole cents.", param="line_items")
    return int(total), currencies.pop()


def retrieve(call: Call) -> Object:
    return call.find("checkout.session")


def listed(call: Call) -> Object:
    found = created_within(call.store.all("checkout.session"), call.params.get("created"))
    for name in ("customer", "status"):
        if name in call.params:
            found = [one for one in found if one[name] == call.params[name]]
    return page(call, found)


def expire(call: Call) -> Object:
    session = call.find("checkout.session")
    if session["status"] != "open":
        raise Refusal("Only open sessions can expire.")
    return _expired(call.world, session)


def _expired(world: World, session: Object) -> Object:
    session.update(status="expired", url=None)
    world.store.put(session)
    events.emit(world, "checkout.session.expired", session)
    return session


def complete(world: World, session: Object, good: bool) -> bool:
    """What the customer does on the page. A card that pays nothing leaves the session open."""
    if session["status"] != "open" or (session["mode"] == "payment" and not good):
        return False
    session.update(status="complete", url=None)
    if session["mode"] == "setup":
        # The card is the customer's; what invoices are paid with is for whoever hears of this to say.
        method = payments.add_card(world, session["customer"], good)
        events.emit(world, "payment_method.attached", method)
        session["setup_intent"] = payments.set_up(world, method)["id"]
    else:
        session.update(payment_status="paid", payment_intent=new_id("pi"))
    world.store.put(session)
    events.emit(world, "checkout.session.completed", session)
    return True


def turn(world: World) -> None:
    for session in world.store.all("checkout.session", "$.expires_at", world.now):
        if session["status"] == "open":
            _expired(world, session)
