"""Credit notes: never more than the invoice, and in the ledger with it."""

from __future__ import annotations

import threading
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from metering.invoices import CreditLine, credit_note, draft, finalise
from metering.invoices.errors import CreditNoteRefused
from metering.invoices.tests.month import entries, line, plan, put_on, use, utc
from metering.ledger.accounts import account_of
from metering.models import Invoice
from stenogate import bill
from tenants.errors import RoleNotAllowed
from tenants.models import AuditEntry
from tenants.scope import tenant_scope


@pytest.fixture
def invoice(acme: Any, rival: Any, clock: Any) -> Invoice:
    """Of ten dollars, in February."""
    both = plan("both", lines=[line("Audio", (None, "1"))])
    for who in (acme, rival):
        put_on(who, both)
        use(who, utc(2024, 1, 10), f"of-{who.tenant.slug}", 600_000)
    return finalise(acme.tenant.id, date(2024, 1, 1), clock.set(2024, 2, 3))


def test_all_of_an_invoice_is_given_back(
    acme: Any, rival: Any, clock: Any, invoice: Invoice, staff: Any
) -> None:
    note = credit_note(invoice, None, "It was a trial.", staff)
    assert (note.number, note.kind, note.total) == ("CN-2024-000001", "credit_note", Decimal("10.00"))
    document = note.document
    assert document["corrects"] == {"number": "2024-000001", "issued_on": "2024-02-03", "total": "10.00"}
    assert bill.check(document) == []
    assert (document["total"], document["reason"]) == ("10.00", "It was a trial.")
    entry = entries(acme)[-1]
    assert (entry.kind, entry.amount, entry.reference) == ("credit", -10, "credit_note:CN-2024-000001")
    assert (note.first_seq, note.last_seq) == (entry.seq, entry.seq)
    assert account_of(acme.tenant.id).balance == 0
    assert account_of(rival.tenant.id).balance == -10
    with tenant_scope(acme.tenant.id):
        assert AuditEntry.objects.get(action="invoice.credited").details["reason"] == "It was a trial."


def test_the_next_invoice_shows_it_and_does_not_give_it_again(
    acme: Any, rival: Any, clock: Any, invoice: Invoice
) -> None:
    credit_note(invoice, [CreditLine("Hours of the outage", Decimal("2.50"))], "An outage")
    use(acme, clock.now, "february", 60_000)
    document = draft(acme.tenant.id, date(2024, 2, 1))
    assert document["total"] == "1.00"
    assert [(one["type"], one["amount"]) for one in document["credits"]] == [("credit_note", "-2.500000")]


def test_several_are_together_never_more_than_the_invoice(
    acme: Any, rival: Any, clock: Any, invoice: Invoice
) -> None:
    credit_note(invoice, [CreditLine("One", Decimal("6.00")), CreditLine("Two", Decimal("1.50"))], "A part")
    with pytest.raises(
        CreditNoteRefused, match=r"^2\.51 is more than what is left of 2024-000001: 2\.50 of 10"
    ):
        credit_note(invoice, [CreditLine("Too much", Decimal("2.51"))], "Another")
    rest = credit_note(invoice, None, "The rest")
    assert (rest.total, rest.number) == (Decimal("2.50"), "CN-2024-000002")
    with pytest.raises(CreditNoteRefused, match="Nothing is left of 2024-000001"):
        credit_note(invoice, None, "Once more")
    assert [entry.amount for entry in entries(acme) if entry.kind == "credit"] == [
        Decimal("-7.5"),
        Decimal("-2.5"),
    ]


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "NaN", "Infinity", "1E+30", "1E-999999"])
def test_an_amount_is_of_whole_coins_above_0(
    acme: Any, rival: Any, clock: Any, invoice: Invoice, amount: str
) -> None:
    with pytest.raises(CreditNoteRefused):
        credit_note(invoice, [CreditLine("A part", Decimal(amount))], "Why")
    assert [entry.kind for entry in entries(acme)] == ["usage"]


@pytest.mark.parametrize(
    ("text", "reason"), [("", "Why"), ("x" * 201, "Why"), ("a\nb", "Why"), ("x", ""), ("x", " ")]
)
def test_texts_are_short_and_printable(
    acme: Any, rival: Any, clock: Any, invoice: Invoice, text: str, reason: str
) -> None:
    with pytest.raises(CreditNoteRefused):
        credit_note(invoice, [CreditLine(text, Decimal(1))], reason)


def test_a_credit_note_is_not_credited_and_only_staff_make_one(
    acme: Any, rival: Any, clock: Any, invoice: Invoice
) -> None:
    note = credit_note(invoice, None, "Why")
    with pytest.raises(CreditNoteRefused, match="is a credit note"):
        credit_note(note, None, "Why")
    with pytest.raises(RoleNotAllowed):
        credit_note(invoice, None, "Why", acme.owner)


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_that_are_too_much_together_one_is_refused(
    acme: Any, rival: Any, clock: Any, invoice: Invoice
) -> None:
    start = threading.Barrier(2)
    outcomes: list[str] = []

    def run() -> None:
        start.wait()
        try:
            outcomes.append(credit_note(invoice, [CreditLine("Most", Decimal(6))], "Why").number)
        except CreditNoteRefused:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["CN-2024-000001", "refused"]
