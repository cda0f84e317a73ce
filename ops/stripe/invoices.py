"""Invoices made of meters: a draft for an hour, then final, then paid or not."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from ops.stripe import events, grants, meters, payments
from ops.stripe.errors import Refusal
from ops.stripe.store import Object, Store, new_id
from ops.stripe.world import Call, World

# Usage of the period that comes in this time is still in it. Stripe's default; the merchant may set it to as
# much as 72 hours, here with `/_control/grace` or --grace-hours.
DRAFT_S = 3600
RETRY_S, MAX_ATTEMPTS = 3 * 86400, 4


def grace(store: Store) -> int:
    return int(store.setting("grace", DRAFT_S))


def lines(store: Store, subscription: Object, start: int, end: int, seen_at: int) -> list[Object]:
    made = []
    for item in subscription["items"]["data"]:
        price = item["price"]
        meter = store.get("billing.meter", price["recurring"]["meter"]) or {}
        total = meters.total(store, meter, subscription["customer"], start, end, seen_at)
        quantity = max(total, 0)  # as Stripe: a period's negative usage is none
        amount = _cents(quantity, price["unit_amount_decimal"])
        made.append(
            {
                "id": f"il_{item['id'][3:]}{start}x{end}",
                "object": "line_item",
                "amount": amount,
                "currency": price["currency"],
                "description": f"{quantity} of {price['nickname'] or price['id']}",
                "discount_amounts": [],
                "discountable": True,
                "discounts": [],
                "livemode": False,
                "metadata": {},
                "parent": {
                    "type": "subscription_item_details",
                    "invoice_item_details": None,
                    "subscription_item_details": {
                        "invoice_item": None, "proration": False, "proration_details": None,
                        "subscription": subscription["id"], "subscription_item": item["id"],
                    },
                },
                "period": {"start": start, "end": end},
                "pretax_credit_amounts": [],
                "pricing": {
                    "type": "price_details",
                    "price_details": {"price": price["id"], "product": price["product"]},
                    "unit_amount_decimal": price["unit_amount_decimal"],
                },
                "quantity": quantity,
                "subtotal": amount,
                "taxes": [],
            }
        )  # fmt: skip
    return made


def _cents(quantity: int, unit: str) -> int:
    return int((quantity * Decimal(unit)).quantize(Decimal(1), ROUND_HALF_UP))


def composed(world: World, subscription: Object, start: int, end: int, reason: str, at: int) -> Object:
    customer = world.store.get("customer", subscription["customer"]) or {}
    name = new_id("in" if reason != "upcoming" else "upcoming_in")
    invoice: Object = {
        "id": name,
        "object": "invoice",
        "account_name": "Local Stripe",
        "attempt_count": 0,
        "attempted": False,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
        "amount_shipping": 0,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None,
        },
        "automatically_finalizes_at": at + grace(world.store),
        "billing_reason": reason,
        "collection_method": subscription["collection_method"],
        "created": at,
        "currency": subscription["currency"],
        "customer": subscription["customer"],
        "customer_email": customer.get("email"),
        "customer_name": customer.get("name"),
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "ending_balance": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "parent": {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {
                "subscription": subscription["id"], "metadata": subscription["metadata"],
            },
        },
        "payment_settings": {
            "default_mandate": None, "payment_method_options": None, "payment_method_types": None,
        },
        "period_start": start,
        "period_end": end,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None, "marked_uncollectible_at": None, "paid_at": None, "voided_at": None,
        },
        "test_clock": None,
    }  # fmt: skip
    _fill(world.store, invoice, subscription, world.now)
    return invoice


def _fill(store: Store, invoice: Object, subscription: Object, seen_at: int) -> None:
    made = lines(store, subscription, invoice["period_start"], invoice["period_end"], seen_at)
    made = [{**line, "invoice": invoice["id"]} for line in made]
    subtotal = sum(line["amount"] for line in made)
    granted = min(subtotal, grants.left(store, invoice["customer"], invoice["currency"]))
    credit = {"type": "credit_balance_transaction", "amount": granted, "credit_balance_transaction": None}
    total = subtotal - granted
    url = f"/v1/invoices/{invoice['id']}/lines"
    invoice.update(
        lines={"object": "list", "data": made, "has_more": False, "url": url},
        subtotal=subtotal, subtotal_excluding_tax=subtotal, total=total, total_excluding_tax=total,
        total_pretax_credit_amounts=[credit] if granted else [],
        amount_due=total, amount_remaining=total, total_discount_amounts=[], total_taxes=[],
    )  # fmt: skip


def draft(
    world: World, subscription: Object, start: int, end: int, reason: str, at: int | None = None
) -> Object:
    invoice = composed(world, subscription, start, end, reason, world.now if at is None else at)
    world.store.put(invoice)
    world.store.put({**subscription, "latest_invoice": invoice["id"]})
    events.emit(world, "invoice.created", invoice)
    return invoice


def finalise(world: World, invoice: Object, call: Call | None = None) -> Object:
    if invoice["status"] != "draft":
        raise Refusal("This invoice is already finalized, you can't re-finalize a non-draft invoice.")
    subscription = _subscription(world.store, invoice)
    _fill(world.store, invoice, subscription, world.now)
    grants.use(world.store, invoice["customer"], invoice["currency"], invoice["subtotal"] - invoice["total"])
    customer = world.store.get("customer", invoice["customer"]) or {}
    if customer and not customer.get("deleted"):
        sequence = customer["next_invoice_sequence"]
        world.store.put({**customer, "next_invoice_sequence": sequence + 1})
        invoice["number"] = f"{customer['invoice_prefix']}-{sequence:04d}"
    invoice["status_transitions"]["finalized_at"] = world.now
    url = f"{world.base_url}/portal/invoice/{invoice['id']}"
    invoice.update(
        status="open", automatically_finalizes_at=None, hosted_invoice_url=url, effective_at=world.now,
        ending_balance=0,
    )  # fmt: skip
    world.store.put(invoice)
    events.emit(world, "invoice.finalized", invoice, call)
    if invoice["collection_method"] == "charge_automatically" and invoice["auto_advance"]:
        attempt(world, invoice, call)
    elif invoice["total"] == 0:
        paid(world, invoice, call)
    return invoice


def attempt(world: World, invoice: Object, call: Call | None = None) -> bool:
    """Try to be paid."""
    if invoice["total"] == 0 or payments.succeeds(world.store, invoice["customer"]):
        invoice["attempt_count"] += 1 if invoice["total"] else 0
        paid(world, invoice, call)
        return True
    attempts = invoice["attempt_count"] + 1
    again = world.now + RETRY_S if attempts < MAX_ATTEMPTS else None
    invoice.update(attempted=True, attempt_count=attempts, next_payment_attempt=again)
    world.store.put(invoice)
    events.emit(world, "invoice.payment_failed", invoice, call)
    _set_standing(world, invoice, "past_due" if again else "unpaid")
    return False


def paid(world: World, invoice: Object, call: Call | None) -> None:
    invoice["status_transitions"]["paid_at"] = world.now
    invoice.update(
        status="paid", attempted=True, amount_paid=invoice["amount_due"], amount_remaining=0,
        next_payment_attempt=None,
    )  # fmt: skip
    world.store.put(invoice)
    events.emit(world, "invoice.paid", invoice, call)
    events.emit(world, "invoice.payment_succeeded", invoice, call)
    forgive(world, invoice)


def forgive(world: World, invoice: Object) -> None:
    """Whoever owes nothing any more is in good standing."""
    owed = [one for one in world.store.all("invoice") if one["customer"] == invoice["customer"]]
    if not any(one["status"] == "open" and one["attempted"] for one in owed):
        _set_standing(world, invoice, "active")


def _set_standing(world: World, invoice: Object, status: str) -> None:
    subscription = _subscription(world.store, invoice)
    if subscription["status"] not in (status, "canceled"):
        subscription["status"] = status
        world.store.put(subscription)
        events.emit(world, "customer.subscription.updated", subscription)
    customer = world.store.get("customer", invoice["customer"])
    if customer and not customer.get("deleted"):
        world.store.put({**customer, "delinquent": status != "active"})


def _subscription(store: Store, invoice: Object) -> Object:
    name = invoice["parent"]["subscription_details"]["subscription"]
    return store.get("subscription", name) or {}


def turn(world: World) -> None:
    """Drafts whose hour is over become final; what was not paid is tried again."""
    now = world.now
    for invoice in reversed(world.store.all("invoice", "$.automatically_finalizes_at", now)):
        finalise(world, invoice)
    for invoice in reversed(world.store.all("invoice", "$.next_payment_attempt", now)):
        attempt(world, invoice)
