"""What a customer sees: the portal, an invoice, Checkout. Plain HTML; buttons do what a person would do.

Whoever has the address may press: it is a page on the loopback, with nobody's money behind it.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from html import escape
from urllib.parse import parse_qs

from ops.stripe import invoices, payments, sessions
from ops.stripe.api import Asked
from ops.stripe.store import Object
from ops.stripe.world import World

FIRST = "/"
PLACES = ("/portal/", "/checkout/")
NOBODY: tuple[int, str, dict[str, str]] = 404, "<h1>There is no such page</h1>", {}
MANY = 200
# As Stripe counts. The smallest coin of all others is a hundredth.
_NONE, _THREE = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF", "BHD JOD KWD OMR TND"
COIN_PLACES = {**dict.fromkeys(_NONE.split(), 0), **dict.fromkeys(_THREE.split(), 3)}
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color:#1a1f36}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.4rem .6rem;"
    "border-bottom:1px solid #e3e8ee}td.n,th.n{text-align:right}button{font:inherit;padding:.4rem .9rem;"
    "margin-right:.5rem}.note{color:#697386;font-size:.9rem}"
)
BUTTONS = (
    '<form method="post"><button name="card" value="good">{0} with a good card</button>'
    '<button name="card" value="bad">{0} with a card that is declined</button></form>'
)


def answer(world: World, asked: Asked) -> tuple[int, str, dict[str, str]]:
    if asked.path == FIRST:
        return _first(world, asked)
    kind, _, name = asked.path.strip("/").rpartition("/")
    pressed = {n: v[0] for n, v in parse_qs(asked.body.decode("utf-8", "replace")).items()}
    with world.store.transaction():
        if kind == "portal/session":
            session = world.store.get("billing_portal.session", name)
            return _portal(world, session, pressed) if session else NOBODY
        if kind == "portal/invoice":
            invoice = world.store.get("invoice", name)
            return _invoice(world, invoice, pressed) if invoice else NOBODY
        session = world.store.get("checkout.session", name) if kind == "checkout" else None
        return _checkout(world, session, pressed) if session else NOBODY


def _first(world: World, asked: Asked) -> tuple[int, str, dict[str, str]]:
    """Who is there, and what they have used; a button opens a customer's portal."""
    pressed = parse_qs(asked.body.decode("utf-8", "replace"))
    with world.store.transaction():
        customers = [one for one in world.store.all("customer") if not one.get("deleted")]
        chosen = pressed.get("customer", [""])[0]
        if any(one["id"] == chosen for one in customers):
            session = sessions.opened(world, chosen, return_url="/")
            return _again(f"/portal/session/{session['id']}")
        used: dict[str, Counter[str]] = {}
        for row in world.store.db.execute(
            "select customer, event_name, value from meter_events where state = 'taken'"
        ):
            used.setdefault(row["customer"], Counter())[row["event_name"]] += row["value"]
    rows = "".join(
        f"<tr><td>{escape(one['name'] or one['id'])}</td><td>"
        + "<br>".join(f"{escape(name)}: {value}" for name, value in used.get(one["id"], Counter()).items())
        + f"</td><td><button name='customer' value='{one['id']}'>Portal</button></td></tr>"
        for one in customers[:MANY]
    )
    head = "<tr><th>Customer</th><th>Usage of all time, by event name</th><th></th></tr>"
    return _page(
        "The local Stripe",
        f"<form method='post'><table>{head}{rows}</table></form>" if rows else "Nobody yet.",
    )


def _portal(world: World, session: Object, pressed: dict[str, str]) -> tuple[int, str, dict[str, str]]:
    name = session["customer"]
    if "card" in pressed:
        payments.make_default(world, name, payments.add_card(world, name, pressed["card"] == "good"))
        return _again(f"/portal/session/{session['id']}")
    customer = world.store.get("customer", name) or {}
    method = (customer.get("invoice_settings") or {}).get("default_payment_method")
    card = world.store.get("payment_method", method or "")
    theirs = [one for one in world.store.all("invoice") if one["customer"] == name]
    rows = "".join(
        f'<tr><td><a href="/portal/invoice/{one["id"]}">{escape(one["number"] or "draft")}</a></td>'
        f'<td>{one["status"]}</td><td class="n">{_money(one["total"], one["currency"])}</td></tr>'
        for one in theirs
    )
    back = session["return_url"]
    return _page(
        f"Billing of {escape(customer.get('name') or name)}",
        f"<p>Card: {'…' + card['card']['last4'] if card else 'none'}</p>{BUTTONS.format('Save it')}"
        "<h2>Invoices</h2><table><tr><th>Number</th><th>Status</th><th class='n'>Total</th></tr>"
        f"{rows}</table>" + (f'<p><a href="{escape(back)}">Back</a></p>' if back else ""),
    )


def _invoice(world: World, invoice: Object, pressed: dict[str, str]) -> tuple[int, str, dict[str, str]]:
    if "card" in pressed and invoice["status"] == "open":
        method = payments.add_card(world, invoice["customer"], pressed["card"] == "good")
        payments.make_default(world, invoice["customer"], method)
        invoices.attempt(world, invoice)
        return _again(f"/portal/invoice/{invoice['id']}")
    rows = "".join(
        f"<tr><td>{escape(line['description'] or '')}</td>"
        f'<td class="n">{_money(line["amount"], line["currency"])}</td></tr>'
        for line in invoice["lines"]["data"]
    )
    total = _money(invoice["total"], invoice["currency"])
    return _page(
        f"Invoice {escape(invoice['number'] or 'draft')}: {invoice['status']}",
        f"<table>{rows}<tr><th>Total</th><th class='n'>{total}</th></tr>"
        f"</table>{BUTTONS.format('Pay') if invoice['status'] == 'open' else ''}",
    )


def _checkout(world: World, session: Object, pressed: dict[str, str]) -> tuple[int, str, dict[str, str]]:
    if "card" in pressed and sessions.complete(world, session, pressed["card"] == "good"):
        return _again(session["success_url"] or f"/checkout/{session['id']}")
    if session["status"] != "open":
        return _page("Checkout", f"<p>This session is {session['status']}.</p>")
    declined = "<p><strong>Your card was declined.</strong></p>" if "card" in pressed else ""
    payment = session["mode"] == "payment"
    what = f"Pay {_money(session['amount_total'], session['currency'])}" if payment else "Save a card"
    cancel = session["cancel_url"]
    return _page(
        what,
        declined
        + BUTTONS.format("Pay" if payment else "Save it")
        + (f'<p><a href="{escape(cancel)}">Cancel</a></p>' if cancel else ""),
    )


def _page(title: str, body: str) -> tuple[int, str, dict[str, str]]:
    text = (
        f"<!doctype html><meta charset='utf-8'><title>{title}</title><style>{STYLE}</style>"
        f"<h1>{title}</h1>{body}"
        "<p class='note'>The local Stripe. No money moves here.</p>"
    )
    return 200, text, {"Cache-Control": "no-store"}


def _again(where: str) -> tuple[int, str, dict[str, str]]:
    return 303, "", {"Location": where}


def _money(coins: int, currency: str) -> str:
    name = currency.upper()
    return f"{Decimal(coins).scaleb(-COIN_PLACES.get(name, 2)):,f} {escape(name)}"
