"""Prepaid credit that was paid for: once in our ledger, and once as a grant at the provider, which takes it
off its own invoices. Both are found again by the payment, so this may run as often as it likes."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import stripe

from metering.invoices.money import places
from metering.ledger.append import NewEntry, append
from metering.models import Account
from metering.models.ledger import EntryKind
from metering.payments import client, names
from metering.payments.errors import Permanent
from tenants.scope import staff_scope


def take(payment_id: str) -> str:
    """What was done about a payment, for people."""
    with client.naming_errors():
        payment = client.connect().v1.payment_intents.retrieve(payment_id)
    tenant_hex = client.noted(payment.metadata, names.CREDIT)
    if tenant_hex is None:
        return "no prepaid credit"
    if payment.status != "succeeded":
        return "not paid yet"
    account = _account(tenant_hex, payment)
    amount = Decimal(payment.amount_received).scaleb(-places(account.currency))
    reason = "Prepaid credit"
    entry = NewEntry(kind=EntryKind.CREDIT, reason=reason, reference=f"stripe:{payment.id}", amount=-amount)
    append(account.tenant_id, [entry])
    _grant(account, payment)
    return f"prepaid credit of {amount} {account.currency}"


def _account(tenant_hex: str, payment: stripe.PaymentIntent) -> Account:
    with staff_scope():
        account = Account.objects.filter(tenant_id=UUID(tenant_hex)).first()
    customer = payment.customer if isinstance(payment.customer, str) else None
    if account is None or not customer or account.customer != customer:
        raise Permanent(f"the payment {payment.id} is of another customer than it says")
    if account.currency != payment.currency.upper():
        raise Permanent(
            f"the payment {payment.id} is in {payment.currency.upper()}, the account in {account.currency}: "
            "credit it by hand"
        )
    return account


def _grant(account: Account, payment: stripe.PaymentIntent) -> None:
    grants = client.connect().v1.billing.credit_grants
    with client.naming_errors():
        for one in grants.list({"customer": account.customer, "limit": 100}).auto_paging_iter():
            if client.noted(one.metadata, names.CREDIT) == payment.id:
                return
        grants.create(
            {
                "customer": account.customer,
                "name": "Prepaid credit",
                "category": "paid",
                "amount": {
                    "type": "monetary",
                    "monetary": {"currency": payment.currency, "value": payment.amount_received},
                },
                "applicability_config": {"scope": {"price_type": "metered"}},
                "metadata": {names.CREDIT: payment.id},
            },
            {"idempotency_key": f"credit:{payment.id}"},
        )
