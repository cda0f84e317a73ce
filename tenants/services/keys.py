"""Keys are issued, rotated, revoked and touched here."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.utils import timezone

from tenants import keytext, origins
from tenants.access import KeyGrant, Scope
from tenants.errors import (
    ExpiryPast,
    KeyNotActive,
    ProjectArchived,
    RoleNotAllowed,
    ScopeMissing,
    ScopeUnknown,
)
from tenants.models import APIKey, Project
from tenants.permissions import Permission
from tenants.scope import tenant_scope
from tenants.services.audit import Actor, permit, record, user_of
from tenants.services.tenants import checked_name

ROTATION_OVERLAP = timedelta(hours=24)
PLACE = ("residency", "home_region", "allowed_regions")


def issue_key(
    project: Project,
    *,
    name: str,
    scopes: Iterable[str] = (Scope.LISTEN,),
    expires_at: datetime | None = None,
    allowed_origins: Iterable[str] = (),
    tags: Iterable[str] = (),
    actor: Actor = None,
) -> tuple[APIKey, str]:
    """A new key and its text, which is nowhere kept: show it once.

    One that another key issues is of the same project, has no scopes that the other lacks, the same origins,
    and an expiry that is not later.
    """
    permit(actor, project.tenant_id, Permission.KEYS_WRITE)
    name = checked_name(name)
    if expires_at is not None and expires_at <= timezone.now():
        raise ExpiryPast()
    wanted, from_origins = _checked_scopes(scopes), sorted({origins.normalise(o) for o in allowed_origins})
    if isinstance(actor, KeyGrant):
        _within(actor, project, wanted)
        from_origins = sorted(actor.allowed_origins)
        expires_at = min(expires_at or actor.expires_at, actor.expires_at) if actor.expires_at else expires_at
    with tenant_scope(project.tenant_id):
        # Locked, so that the project cannot be archived between this look and the commit.
        if not Project.objects.select_for_update().filter(id=project.id, archived_at=None).exists():
            raise ProjectArchived()
        # One that a key issues may be no more places than that key.
        narrow = APIKey.objects.get(id=actor.key_id) if isinstance(actor, KeyGrant) else None
        key, text = _create(
            project.tenant_id, project.id, name, wanted, from_origins, expires_at, list(tags), actor, narrow
        )
        record(
            actor, key.tenant_id, "key.issued", key.id,
            name=name, prefix=key.prefix, project=str(project.id), scopes=wanted,
            allowed_origins=from_origins, expires_at=expires_at and expires_at.isoformat(),
        )  # fmt: skip
    return key, text


def revoke_key(key: APIKey, *, actor: Actor = None) -> None:
    """The key stops working everywhere within a second. Revoking twice changes nothing."""
    permit(actor, key.tenant_id, Permission.KEYS_WRITE)
    with tenant_scope(key.tenant_id):
        # Claimed by the update: of two who revoke at once, one writes the entry.
        if APIKey.objects.filter(id=key.id, revoked_at=None).update(revoked_at=timezone.now()):
            record(actor, key.tenant_id, "key.revoked", key.id, name=key.name, prefix=key.prefix)
        key.refresh_from_db(fields=["revoked_at"])


def rotate_key(
    key: APIKey, *, overlap: timedelta = ROTATION_OVERLAP, actor: Actor = None
) -> tuple[APIKey, str]:
    """A new key like `key`, and its text. The old one goes on working for `overlap`, or until its own expiry
    if that is sooner. The new one has the expiry that the old one had."""
    permit(actor, key.tenant_id, Permission.KEYS_WRITE)
    now = timezone.now()
    with tenant_scope(key.tenant_id):
        old = APIKey.objects.select_for_update(of=("self",)).select_related("project").get(id=key.id)
        ended = old.expires_at is not None and old.expires_at <= now
        if old.revoked_at is not None or old.replaced_by_id is not None or ended:
            raise KeyNotActive()
        if old.project.archived_at is not None:
            raise ProjectArchived()
        new, text = _create(
            old.tenant_id, old.project_id, old.name, old.scopes, old.allowed_origins, old.expires_at,
            old.tags, actor, old,
        )  # fmt: skip
        end = now + max(overlap, timedelta(0))
        old.replaced_by, old.expires_at = new, min(end, old.expires_at or end)
        old.save(update_fields=["replaced_by", "expires_at"])
        record(
            actor, old.tenant_id, "key.rotated", old.id,
            name=old.name, prefix=old.prefix, new_prefix=new.prefix,
            old_works_until=old.expires_at.isoformat(),
        )  # fmt: skip
        key.refresh_from_db(fields=["replaced_by", "expires_at"])
    return new, text


def touch_keys(ids: Collection[UUID], *, at: datetime | None = None) -> int:
    """Note that these keys were used, whosever they are; returns how many were noted.

    For gateways, in batches, outside any scope. A key that another gateway is noting at this moment is
    skipped: its time will be as good.
    """
    if not ids:
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenants_touch_keys(%s, %s)", [list(ids), at or timezone.now()])
        return int(cursor.fetchone()[0])


def _create(
    tenant_id: UUID,
    project_id: UUID,
    name: str,
    scopes: list[str],
    allowed_origins: list[str],
    expires_at: datetime | None,
    tags: list[str],
    actor: Actor,
    placed: APIKey | None,
) -> tuple[APIKey, str]:
    """`placed`: a key whose rule of residency it has, too."""
    prefix, text = keytext.generate()
    key = APIKey.objects.create(
        tenant_id=tenant_id,
        project_id=project_id,
        name=name,
        prefix=prefix,
        sha256=keytext.digest(text),
        scopes=scopes,
        allowed_origins=allowed_origins,
        expires_at=expires_at,
        tags=tags,
        issued_by=None if isinstance(actor, KeyGrant) else user_of(actor),
        **({} if placed is None else {name: getattr(placed, name) for name in PLACE}),
    )
    return key, text


def _within(actor: KeyGrant, project: Project, wanted: list[str]) -> None:
    if actor.project_id != project.id:
        raise RoleNotAllowed("A key issues keys in its own project only.")
    if beyond := [scope for scope in wanted if scope not in actor.scopes]:
        raise ScopeMissing(
            f"This API key lacks the scope {', '.join(map(repr, beyond))}, so it cannot give it to another."
        )


def _checked_scopes(scopes: Iterable[str]) -> list[str]:
    wanted = sorted({str(scope) for scope in scopes})
    unknown = [scope for scope in wanted if scope not in list(Scope)]
    if unknown or not wanted:
        raise ScopeUnknown(
            f"{', '.join(map(repr, unknown)) or 'An empty list'} is no scope. There are: {', '.join(Scope)}."
        )
    return wanted
