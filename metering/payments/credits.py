"""Prepaid credit that was paid for: once in our ledger, and once as a grant at the provider, which takes it
off its own invoices. Both are found again by the payment, so this may run as often as it likes."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from stripe.checkout import Session

from metering.ledger.append import NewEntry, append
from metering.models import Account
from metering.models.ledger import EntryKind
from metering.payments import client, names
from metering.payments.errors import Permanent
from tenants.scope import staff_scope


def take(session: Session) -> str:
    """What was done about a completed page, for people."""
    tenant_hex = client.noted(session.metadata, names.CREDIT)
    if tenant_hex is None:
        return "no prepaid credit"
    if session.payment_status != "paid":
        return "not paid yet"
    account = _account(tenant_hex, session)
    amount = Decimal(session.amount_total or 0).scaleb(-names.coin_places(account.currency))
    reference = f"stripe:{session.payment_intent}"
    entry = NewEntry(EntryKind.CREDIT, "Prepaid credit", reference=reference, amount=-amount)
    append(account.tenant_id, [entry])
    _grant(account, session)
    return f"prepaid credit of {amount} {account.currency}"


def _account(tenant_hex: str, session: Session) -> Account:
    with staff_scope():
        account = Account.objects.filter(tenant_id=UUID(tenant_hex)).first()
    if account is None or not account.customer or account.customer != session.customer:
        raise Permanent(f"the payment {session.payment_intent} is of another customer than it says")
    currency = (session.currency or "").upper()
    if account.currency != currency:
        raise Permanent(
            f"the payment {session.payment_intent} is in {currency}, the account in {account.currency}: "
            "credit it by hand"
        )
    return account


def _grant(account: Account, session: Session) -> None:
    payment = str(session.payment_intent)
    grants = client.connect().v1.billing.credit_grants
    with client.asking():
        for one in grants.list({"customer": account.customer, "limit": 100}).auto_paging_iter():
            if client.noted(one.metadata, names.CREDIT) == payment:
                return
        grants.create(
            {
                "customer": account.customer,
                "name": "Prepaid credit",
                "category": "paid",
                "amount": {
                    "type": "monetary",
                    "monetary": {
                        "currency": account.currency.lower(),
                        "value": int(session.amount_total or 0),
                    },
                },
                "applicability_config": {"scope": {"price_type": "metered"}},
                "metadata": {names.CREDIT: payment},
            },
            {"idempotency_key": client.once(f"credit:{payment}")},
        )
