"""Pages of the provider for a customer: what it has paid and how it pays. No card comes to us."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from config import env
from metering.invoices.money import places
from metering.payments import client, names, sync
from metering.payments.errors import PaymentsError

LEAST, MOST = Decimal(1), Decimal(100_000)


class AmountRefused(PaymentsError):
    """Prepaid credit is bought in amounts from 1 to 100000, in whole coins of the account's currency."""

    code = "payments_amount_refused"


class NoReturnUrl(PaymentsError):
    """The page needs somewhere to come back to. Say return_url, or set PUBLIC_URL."""

    code = "payments_no_return_url"


def portal_url(tenant_id: UUID, return_url: str = "") -> str:
    """Where the customer sees invoices and changes how it pays."""
    account = sync.ensured(tenant_id)
    back = _back(return_url)
    with client.asking():
        session = client.connect().v1.billing_portal.sessions.create(
            {"customer": account.customer, "return_url": back}
        )
    return session.url


def setup_url(tenant_id: UUID, return_url: str = "") -> str:
    """Where the customer sets up what invoices are paid with."""
    account = sync.ensured(tenant_id)
    back = _back(return_url)
    with client.asking():
        session = client.connect().v1.checkout.sessions.create(
            {
                "mode": "setup",
                "customer": account.customer,
                "currency": account.currency.lower(),
                "success_url": back,
                "cancel_url": back,
                "metadata": {names.TENANT: tenant_id.hex},
            }
        )
    return str(session.url)


def credit_url(tenant_id: UUID, amount: Decimal, return_url: str = "") -> str:
    """Where the customer buys prepaid credit. It is credited when the provider says that it was paid."""
    account = sync.ensured(tenant_id)
    coins = amount.scaleb(names.coin_places(account.currency))
    if not LEAST <= amount <= MOST or amount != round(amount, places(account.currency)):
        raise AmountRefused()
    back = _back(return_url)
    with client.asking():
        session = client.connect().v1.checkout.sessions.create(
            {
                "mode": "payment",
                "customer": account.customer,
                "line_items": [
                    {
                        "quantity": 1,
                        "price_data": {
                            "currency": account.currency.lower(),
                            "unit_amount": int(coins),
                            "product_data": {"name": "Prepaid credit"},
                        },
                    }
                ],
                "metadata": {names.CREDIT: tenant_id.hex},
                "success_url": back,
                "cancel_url": back,
            }
        )
    return str(session.url)


def _back(return_url: str) -> str:
    if not (back := return_url or env.PUBLIC_URL.read() or ""):
        raise NoReturnUrl()
    return back
