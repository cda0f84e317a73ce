"""Who acts, whether they may, and the entry that says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias
from uuid import UUID

from tenants.access import KeyGrant
from tenants.errors import RoleNotAllowed, ScopeMissing
from tenants.models import AuditEntry, Member, User
from tenants.permissions import Permission, allows

# A member acts within a tenant, and so does a key, as far as its scopes go; a staff user of ours on any;
# None is the system (commands, jobs).
Actor: TypeAlias = Member | User | KeyGrant | None


def permit(actor: Actor, tenant_id: UUID, permission: Permission) -> None:
    """Refuse unless `actor` may do this in this tenant."""
    if isinstance(actor, Member):
        if actor.tenant_id != tenant_id or not actor.user.is_active or not allows(actor.role, permission):
            raise RoleNotAllowed()
    elif isinstance(actor, KeyGrant):
        if actor.tenant_id != tenant_id:
            raise RoleNotAllowed()
        if permission not in actor.scopes:
            raise ScopeMissing()
    elif isinstance(actor, User) and not (actor.is_staff and actor.is_active):
        raise RoleNotAllowed()


def user_of(actor: Actor) -> User | None:
    """The person. A key is none, and must not pass for the system here."""
    if isinstance(actor, KeyGrant):
        raise RoleNotAllowed("An API key cannot do this.")
    return actor.user if isinstance(actor, Member) else actor


def record(actor: Actor | str, tenant_id: UUID, action: str, subject: UUID, **details: object) -> AuditEntry:
    """Write the entry; to be called in the transaction of what it tells. A text is who sits at a terminal."""
    return AuditEntry.objects.create(
        tenant_id=tenant_id, actor=_label(actor), action=action, subject=subject, details=details
    )


def record_for_all(
    actor: Actor, tenants: Iterable[UUID], action: str, subject: UUID, **details: object
) -> None:
    """An entry in the log of each of these tenants: what is ours alone was changed for all of them."""
    AuditEntry.objects.bulk_create(
        (
            AuditEntry(tenant_id=tenant, actor=_label(actor), action=action, subject=subject, details=details)
            for tenant in tenants
        ),
        batch_size=1000,
    )


def _label(actor: Actor | str) -> str:
    if isinstance(actor, str):
        return actor
    if isinstance(actor, Member):
        return actor.user.email
    if isinstance(actor, KeyGrant):
        return f"key sk_{actor.prefix}…"
    return f"staff {actor.email}" if actor is not None else "system"
