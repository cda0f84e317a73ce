"""Sends an invoice to its customer."""

from __future__ import annotations

from django.core.mail import EmailMessage

from metering.invoices.output import pieces
from metering.invoices.view import view
from metering.models import Account, Invoice
from tenants.scope import staff_scope


def send(invoice_id: str) -> bool:
    """Whether there was somebody to send it to. Without MAIL_URL Django's dummy takes it, and drops it."""
    with staff_scope():
        invoice = Invoice.objects.get(id=invoice_id)
        to = Account.objects.values_list("email", flat=True).get(tenant_id=invoice.tenant_id)
    if not to:
        return False
    shown = view(invoice.document)
    name, amount = shown.headline
    facts = "\n".join(f"{key}: {value}" for key, value in shown.facts)
    text = f"{facts}\n\n{name}: {amount}\n\n" + "\n".join(shown.notes) + "\n"
    # A header takes no line breaks: Django refuses them, and a name may have none (it is printable).
    message = EmailMessage(f"{shown.title} {shown.number} from {shown.seller[0]}", text, to=[to])
    pdf = b"".join(pieces(".pdf", invoice.document, ()))
    message.attach(f"{shown.number}.pdf", pdf, "application/pdf")
    message.send()
    return True
