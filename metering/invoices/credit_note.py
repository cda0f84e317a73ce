"""Corrects a final invoice: what is given back, why, and the money in the ledger, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from metering.invoices import numbers
from metering.invoices.document import Document, totals
from metering.invoices.errors import CreditNoteRefused
from metering.invoices.money import coins, exact
from metering.invoices.read import today
from metering.ledger.accounts import locked_account
from metering.ledger.append import MAX_MONEY, NewEntry, append
from metering.models import Invoice
from metering.models.invoices import InvoiceKind
from metering.models.ledger import EntryKind
from tenants.permissions import Permission
from tenants.scope import tenant_scope
from tenants.services.audit import Actor, permit, record, user_of

MAX_LINES = 100
MAX_TEXT = 200


@dataclass(frozen=True)
class CreditLine:
    description: str
    amount: Decimal


def credit_note(
    invoice: Invoice,
    lines: Sequence[CreditLine] | None,
    reason: str,
    actor: Actor = None,
    now: datetime | None = None,
) -> Invoice:
    """`lines` None: all that is left of it."""
    permit(user_of(actor), invoice.tenant_id, Permission.OWNERS_WRITE)
    if invoice.kind != InvoiceKind.INVOICE:
        raise CreditNoteRefused(f"{invoice.number} is a credit note. Correct the invoice that it corrects.")
    reason = reason.strip()
    if not 0 < len(reason) <= MAX_TEXT or not reason.isprintable():
        raise CreditNoteRefused(f"A credit note has a reason of 1 to {MAX_TEXT} printable characters.")
    now = now or timezone.now()
    with tenant_scope(invoice.tenant_id):
        account = locked_account(invoice.tenant_id)
        left = left_of(invoice)
        if lines is None:
            lines = [CreditLine(f"Invoice {invoice.number}", left)]
        total = _checked(lines, invoice, left)
        issued_on = today(account, now)
        number = numbers.next_number(numbers.CREDIT_NOTES, issued_on.year)
        (entry,) = append(
            invoice.tenant_id,
            [
                NewEntry(
                    kind=EntryKind.CREDIT,
                    reason=f"Credit note {number} for invoice {invoice.number}: {reason}",
                    reference=f"credit_note:{number}",
                    amount=-total,
                )
            ],
        )
        document = {
            **_head(invoice, number, issued_on.isoformat(), reason),
            **totals(total, invoice.currency, prepaid=False),
            "lines": [_line(line) for line in lines],
            "ledger": {"first_seq": entry.seq, "last_seq": entry.seq, "head": bytes(entry.hash).hex()},
        }
        note = Invoice.objects.create(
            tenant_id=invoice.tenant_id, kind=InvoiceKind.CREDIT_NOTE.value, number=number,
            period=invoice.period, starts_at=invoice.starts_at, ends_at=invoice.ends_at,
            currency=invoice.currency, ms=0, total=total, first_seq=entry.seq, last_seq=entry.seq,
            corrects=invoice, document=document, final_at=now,
        )  # fmt: skip
        record(
            actor, invoice.tenant_id, "invoice.credited", note.id,
            number=number, corrects=invoice.number, total=str(total), currency=invoice.currency,
            reason=reason,
        )  # fmt: skip
    return note


def left_of(invoice: Invoice) -> Decimal:
    """What no credit note has given back yet."""
    notes = Invoice.objects.filter(corrects=invoice).aggregate(total=Sum("total"))["total"]
    return coins(invoice.total - (notes or 0), invoice.currency)


def _checked(lines: Sequence[CreditLine], invoice: Invoice, left: Decimal) -> Decimal:
    if not 1 <= len(lines) <= MAX_LINES:
        raise CreditNoteRefused(f"A credit note has 1 to {MAX_LINES} lines.")
    for line in lines:
        if not 0 < len(line.description) <= MAX_TEXT or not line.description.isprintable():
            raise CreditNoteRefused(f"Each line has a text of 1 to {MAX_TEXT} printable characters.")
        whole = line.amount.is_finite() and abs(line.amount) <= MAX_MONEY
        if not whole or line.amount != coins(line.amount, invoice.currency):
            raise CreditNoteRefused(f"{line.amount} is no amount of whole coins in {invoice.currency}.")
        if line.amount <= 0:
            raise CreditNoteRefused(
                f"Nothing is left of {invoice.number} to credit."
                if left <= 0
                else f"Each line gives something back: {line.amount} is not above 0."
            )
    total = coins(sum((line.amount for line in lines), Decimal(0)), invoice.currency)
    if total > left:
        raise CreditNoteRefused(
            f"{total} is more than what is left of {invoice.number}: {left} of {invoice.total.normalize():f}."
        )
    return total


def _head(invoice: Invoice, number: str, issued_on: str, reason: str) -> Document:
    its = invoice.document
    kept = {name: its[name] for name in ("v", "seller", "customer", "period", "mode")}
    return {
        **kept,
        "kind": InvoiceKind.CREDIT_NOTE.value,
        "state": "final",
        "number": number,
        "issued_on": issued_on,
        "due_on": "",
        "corrects": {"number": invoice.number, "issued_on": its["issued_on"], "total": its["total"]},
        "reason": reason,
        "ms": 0,
    }


def _line(line: CreditLine) -> dict[str, Any]:
    return {
        "type": "credit", "description": line.description, "price": None, "ms": 0, "minutes": "0.000",
        "amount": exact(line.amount),
    }  # fmt: skip
