"""What a customer is told by e-mail about their account."""

from __future__ import annotations

from metering.models import Account
from tenants.models import Tenant


def tell(account: Account, tenant: Tenant, about: str, text: str) -> None:
    """Stub."""
