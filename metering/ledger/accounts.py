"""Accounts: made when first needed, locked by whoever writes to the ledger, changed here and audited."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from metering import spend
from metering.ledger.errors import BalanceBelowZero, CurrencyFixed, SettingMalformed, SettingNotTheirs
from metering.ledger.settings import OURS, THEIRS, check_time_zone_now
from metering.models import Account, LedgerEntry
from metering.models.accounts import Mode
from tenants.models import User
from tenants.permissions import Permission
from tenants.scope import tenant_scope
from tenants.services.audit import Actor, permit, record


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


def change(tenant_id: UUID, *, actor: Actor, **settings: Any) -> Account:
    """Change settings of the account: those of `settings.THEIRS` by who may write billing, those of `OURS`
    by staff and the system. All of them or none; what they mean for the tenant's hold follows at once."""
    permit(actor, tenant_id, Permission.BILLING_WRITE)
    known = THEIRS if not _is_ours(actor) else {**THEIRS, **OURS}
    for name in settings:
        if name not in known:
            raise SettingNotTheirs() if name in OURS else SettingMalformed(f"There is no setting {name!r}.")
    with tenant_scope(tenant_id):
        account = locked_account(tenant_id)
        now = timezone.now()
        wanted = {name: known[name](value) for name, value in settings.items()}
        before = {name: getattr(account, name) for name in wanted if getattr(account, name) != wanted[name]}
        if not before:
            return account
        after = {name: wanted[name] for name in before}
        _check(account, after, now)
        for name, value in after.items():
            setattr(account, name, value)
        if "soft_cap" in after:
            account.soft_cap_told = None
        account.save(update_fields=[*after, "soft_cap_told"])
        record(
            actor, tenant_id, "account.changed", account.id,
            before={name: _said(value) for name, value in before.items()},
            after={name: _said(value) for name, value in after.items()},
        )  # fmt: skip
        spend.apply(account, now)
    return account


def money_has_moved(account: Account) -> bool:
    """Inside the tenant's scope."""
    return bool(account.balance) or (
        account.last_seq > 0
        and LedgerEntry.objects.filter(tenant_id=account.tenant_id).exclude(amount=0, waived=0).exists()
    )


def _check(account: Account, after: dict[str, Any], now: datetime) -> None:
    if "time_zone" in after:
        check_time_zone_now(account.time_zone, after["time_zone"], now)
    if "currency" in after and money_has_moved(account):
        raise CurrencyFixed()
    if after.get("mode") == Mode.PREPAID and account.balance < 0:
        raise BalanceBelowZero()


def _is_ours(actor: Actor) -> bool:
    return actor is None or isinstance(actor, User)


def _said(value: object) -> object:
    return value if value is None or isinstance(value, bool) else str(value)


def _lock(tenant_id: UUID, *, skip_locked: bool = False) -> Account | None:
    return (
        Account.objects.select_for_update(of=("self",), no_key=True, skip_locked=skip_locked)
        .filter(tenant_id=tenant_id)
        .first()
    )
