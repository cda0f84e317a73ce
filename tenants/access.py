"""May this key do this, from there, now? Pure: decides on a `KeyGrant` however it was come by.

A caller may keep a grant and check it again without the database: expiry, scope and origin are decided
here each time; revocation and suspension come with `selectors.changes_since`.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from tenants import keytext, origins
from tenants.errors import (
    KeyExpired,
    KeyMalformed,
    KeyMissing,
    KeyRevoked,
    KeyUnknown,
    OnHold,
    OriginNotAllowed,
    PaymentOverdue,
    PrepaidUsedUp,
    ScopeMissing,
    SpendCapReached,
    TenantSuspended,
)
from tenants.limits import UNLIMITED, Limits
from tenants.residency import ANYWHERE, Where


class Scope(StrEnum):
    """What a key may be used for."""

    LISTEN = "listen"
    USAGE_READ = "usage:read"
    BILLING_READ = "billing:read"
    BILLING_WRITE = "billing:write"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    PROJECTS_READ = "projects:read"
    AUDIT_READ = "audit:read"


class TenantState(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"


class Hold(StrEnum):
    """Why audio of a tenant is not taken, though its keys are good. Metering sets it and takes it back."""

    NONE = ""
    SPEND_CAP = "spend_cap"
    PREPAID = "prepaid"
    PAYMENT = "payment"


ON_HOLD: dict[str, type[OnHold]] = {
    Hold.SPEND_CAP: SpendCapReached,
    Hold.PREPAID: PrepaidUsedUp,
    Hold.PAYMENT: PaymentOverdue,
}


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """All that is known of a key, as of when it was read. The secret itself is nowhere in it."""

    tenant_id: UUID
    project_id: UUID
    key_id: UUID
    prefix: str
    sha256: bytes = field(repr=False)
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked_at: datetime | None  # also set while the key's project is archived
    allowed_origins: frozenset[str]
    tenant_state: str
    plan: str = ""  # its name
    plan_limits: Limits = UNLIMITED
    project_limits: Limits = UNLIMITED
    hold: str = Hold.NONE
    where: Where = ANYWHERE


# Compared with when there is no grant, so that an unknown prefix costs what a wrong secret costs.
_NOBODY = bytes(32)


def prefix_of(secret: str | None) -> str:
    """The prefix to find the grant by; refuses what cannot be a key before any look-up."""
    if not secret:
        raise KeyMissing()
    prefix = keytext.prefix_of(secret)
    if prefix is None:
        raise KeyMalformed()
    return prefix


def check(
    grant: KeyGrant | None, *, secret: str, scope: str | None, origin: str | None, now: datetime
) -> KeyGrant:
    """`grant`, if `secret` is its key and it is good for `scope` (None: for any) from `origin` at `now`.

    `origin` is the `Origin` header as sent, None without one. Whoever lacks the whole secret learns nothing,
    not by the answer and not by its time: only after the comparison does the state of the key matter.
    """
    expected = grant.sha256 if grant is not None else _NOBODY
    same = hmac.compare_digest(keytext.digest(secret), expected)
    if grant is None or not same:
        raise KeyUnknown()
    check_use(grant, scope=scope, origin=origin, now=now)
    return grant


def check_use(grant: KeyGrant, *, scope: str | None, origin: str | None, now: datetime) -> None:
    """The part of `check` that is left once the caller has proven to hold the key, or a token of it."""
    check_state(grant, now=now)
    if not origins.allowed(origin, grant.allowed_origins):
        raise OriginNotAllowed()
    if scope is not None and scope not in grant.scopes:
        raise ScopeMissing(f"This API key lacks the scope {str(scope)!r}. Issue a key that has it.")
    if scope == Scope.LISTEN:
        check_hold(grant)


def check_hold(grant: KeyGrant) -> None:
    """Refuse audio of a tenant that is on hold, also for a reason that this version does not know."""
    if grant.hold:
        raise ON_HOLD.get(grant.hold, OnHold)()


def check_state(grant: KeyGrant, *, now: datetime) -> None:
    """Refuse a grant that has ended since it was given: for streams that are open already."""
    if grant.revoked_at is not None and grant.revoked_at <= now:
        raise KeyRevoked()
    if grant.expires_at is not None and grant.expires_at <= now:
        raise KeyExpired()
    if grant.tenant_state != TenantState.ACTIVE:
        raise TenantSuspended()
