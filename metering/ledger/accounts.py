"""Accounts: made when first needed, locked by whoever writes to the ledger, changed here and audited."""

from __future__ import annotations

from uuid import UUID

from metering.models import Account
from tenants.scope import tenant_scope


def account_of(tenant_id: UUID) -> Account:
    with tenant_scope(tenant_id):
        return Account.objects.get_or_create(tenant_id=tenant_id)[0]


def locked_account(tenant_id: UUID) -> Account:
    """Inside the tenant's scope, whose transaction then holds the lock."""
    account = _lock(tenant_id)
    if account is None:
        account_of(tenant_id)
        return locked_account(tenant_id)
    return account


def locked_if_free(tenant_id: UUID) -> Account | None:
    """The same, or None where somebody else holds the lock."""
    account = _lock(tenant_id, skip_locked=True)
    if account is None and not Account.objects.filter(tenant_id=tenant_id).exists():
        return locked_account(tenant_id)
    return account


def _lock(tenant_id: UUID, *, skip_locked: bool = False) -> Account | None:
    return (
        Account.objects.select_for_update(of=("self",), no_key=True, skip_locked=skip_locked)
        .filter(tenant_id=tenant_id)
        .first()
    )
