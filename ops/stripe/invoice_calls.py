"""What is asked of invoices."""

from __future__ import annotations

from typing import Any

from ops.stripe import events, invoices
from ops.stripe.customers import existing, not_served
from ops.stripe.errors import Refusal, no_such
from ops.stripe.store import Object
from ops.stripe.world import Call, created_within, merged_metadata, page


def retrieve(call: Call) -> Object:
    return call.find("invoice")


def update(call: Call) -> Object:
    invoice, given = call.find("invoice"), call.params
    taken = {"metadata", "description", "auto_advance", "expand"}
    if set(given) - taken:
        raise not_served(set(given) - taken)
    invoice.update({name: given[name] for name in ("description", "auto_advance") if name in given})
    if "auto_advance" in given and invoice["status"] == "draft":
        at = invoice["created"] + invoices.grace(call.store) if given["auto_advance"] else None
        invoice["automatically_finalizes_at"] = at
    invoice["metadata"] = merged_metadata(invoice["metadata"], given.get("metadata"))
    return call.store.put(invoice)


def listed(call: Call) -> Object:
    given, found = call.params, created_within(call.store.all("invoice"), call.params.get("created"))
    for name in ("customer", "status", "collection_method"):
        if name in given:
            found = [one for one in found if one[name] == given[name]]
    if "subscription" in given:
        wanted = given["subscription"]
        found = [o for o in found if o["parent"]["subscription_details"]["subscription"] == wanted]
    return page(call, found)


def list_lines(call: Call) -> Object:
    return page(call, call.find("invoice")["lines"]["data"])


def finalise_now(call: Call) -> Object:
    return invoices.finalise(call.world, call.find("invoice"), call)


def pay(call: Call) -> Object:
    invoice = call.find("invoice")
    if invoice["status"] == "draft":
        invoices.finalise(call.world, {**invoice, "auto_advance": False}, call)
        invoice = call.find("invoice")
    if invoice["status"] != "open":
        raise Refusal("Invoice is already paid." if invoice["status"] == "paid" else "It cannot be paid.")
    if call.params.get("paid_out_of_band"):
        invoices.paid(call.world, invoice, call)
    elif not invoices.attempt(call.world, invoice, call):
        raise Refusal(
            "Your card was declined.", status=402, kind="card_error", code="card_declined", undo=False
        )
    return invoice


def void(call: Call) -> Object:
    return _closed(call, "void", "voided")


def uncollectible(call: Call) -> Object:
    return _closed(call, "uncollectible", "marked_uncollectible")


def _closed(call: Call, status: str, event: str) -> Object:
    invoice = call.find("invoice")
    if invoice["status"] not in ("open", "uncollectible"):
        raise Refusal(f"An invoice that is {invoice['status']} cannot become {status}.")
    invoice["status_transitions"][f"{event}_at"] = call.now
    invoice.update(status=status, next_payment_attempt=None)
    call.store.put(invoice)
    events.emit(call.world, f"invoice.{event}", invoice, call)
    invoices.forgive(call.world, invoice)
    return invoice


def preview(call: Call) -> Object:
    """What the current period would come to now."""
    given = call.params
    if set(given) - {"customer", "subscription", "expand", "preview_mode"}:
        raise not_served(set(given) - {"customer", "subscription", "expand", "preview_mode"})
    found: Any = None
    if "subscription" in given:
        found = call.store.get("subscription", given["subscription"])
        if found is None:
            raise no_such("subscription", given["subscription"], "subscription")
    elif "customer" in given:
        customer = existing(call, given["customer"])["id"]
        there = call.store.all("subscription")
        of_customer = [o for o in there if o["customer"] == customer and o["status"] != "canceled"]
        found = of_customer[0] if of_customer else None
    if found is None or found["status"] == "canceled":
        raise Refusal("No upcoming invoices for customer", status=404, code="invoice_upcoming_none")
    item = found["items"]["data"][0]
    start, end = item["current_period_start"], item["current_period_end"]
    return invoices.composed(call.world, found, start, end, "upcoming", end)
