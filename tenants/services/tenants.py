"""Tenants and their projects."""

from __future__ import annotations

import re
import uuid

from django.db import IntegrityError, transaction
from django.utils import timezone

from tenants.access import Hold, TenantState
from tenants.errors import NameMissing, SlugMalformed, SlugTaken
from tenants.models import Member, Project, Tenant, User
from tenants.permissions import Permission, Role
from tenants.scope import tenant_scope
from tenants.services.audit import Actor, permit, record, user_of


def checked_name(name: str) -> str:
    name = name.strip()
    # Among what does not print are NUL and half surrogate pairs, which PostgreSQL does not take.
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise NameMissing()
    return name


def create_tenant(name: str, slug: str, *, owner: User | None = None, actor: Actor = None) -> Tenant:
    """A new tenant, with `owner` as its first member."""
    name = checked_name(name)
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,49}", slug):
        raise SlugMalformed()
    tenant = Tenant(id=uuid.uuid4(), name=name, slug=slug)
    permit(user_of(actor), tenant.id, Permission.OWNERS_WRITE)  # staff or the system
    with tenant_scope(tenant.id):
        try:
            with transaction.atomic():
                tenant.save(force_insert=True)
        except IntegrityError as error:
            raise SlugTaken() from error
        record(actor, tenant.id, "tenant.created", tenant.id, name=name, slug=slug)
        if owner is not None:
            member = Member.objects.create(tenant=tenant, user=owner, role=Role.OWNER.value)
            record(actor, tenant.id, "member.added", member.id, user=owner.email, role=Role.OWNER.value)
    return tenant


def set_tenant_state(tenant: Tenant, state: TenantState, *, actor: Actor = None) -> None:
    """Suspend or reactivate. Gateways hear of it as of a revoked key. Staff and the system only."""
    permit(user_of(actor), tenant.id, Permission.OWNERS_WRITE)  # a member's role does not matter here
    with tenant_scope(tenant.id):
        tenant.state = state.value
        tenant.save(update_fields=["state"])
        record(actor, tenant.id, f"tenant.{state.value}", tenant.id)


def set_hold(tenant: Tenant, hold: Hold, *, reason: str = "", actor: Actor = None) -> None:
    """Take no more audio of this tenant, or take it again. Gateways hear of it as of a revoked key. Staff and
    the system only. Setting what is set already changes nothing."""
    permit(user_of(actor), tenant.id, Permission.OWNERS_WRITE)
    with tenant_scope(tenant.id):
        if Tenant.objects.filter(id=tenant.id).exclude(hold=hold.value).update(hold=hold.value):
            record(actor, tenant.id, "tenant.hold_changed", tenant.id, hold=hold.value, reason=reason)
        tenant.hold = hold.value


def create_project(tenant: Tenant, name: str, *, actor: Actor = None) -> Project:
    permit(actor, tenant.id, Permission.PROJECTS_WRITE)
    with tenant_scope(tenant.id):
        project = Project.objects.create(tenant=tenant, name=checked_name(name))
        record(actor, tenant.id, "project.created", project.id, name=project.name)
    return project


def archive_project(project: Project, *, actor: Actor = None) -> None:
    """Its keys stop working, for good; its usage stays."""
    permit(actor, project.tenant_id, Permission.PROJECTS_WRITE)
    with tenant_scope(project.tenant_id):
        if Project.objects.filter(id=project.id, archived_at=None).update(archived_at=timezone.now()):
            record(actor, project.tenant_id, "project.archived", project.id)
        project.refresh_from_db(fields=["archived_at"])
