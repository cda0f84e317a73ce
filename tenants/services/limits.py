"""Plans, who is on which, and the limits of projects. Gateways hear of each change as of a revoked key."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from django.db import IntegrityError, transaction

from tenants.errors import LimitMalformed, SlugMalformed, SlugTaken
from tenants.limits import NAMES, UNLIMITED, Limits, as_json, limits_of
from tenants.models import Plan, Project, Tenant
from tenants.permissions import Permission
from tenants.scope import staff_scope, tenant_scope
from tenants.services.audit import Actor, permit, record, record_for_all, user_of
from tenants.services.tenants import checked_name

MAX_COUNT = 2**31 - 1  # what the column holds
MAX_HOURS = Decimal(999_999)


def create_plan(name: str, slug: str, limits: Limits = UNLIMITED, *, actor: Actor = None) -> Plan:
    """Staff and the system only. No tenant is on it yet, so no tenant's log tells of it."""
    name, limits = checked_name(name), checked(limits)
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,49}", slug):
        raise SlugMalformed()
    plan = Plan(id=uuid.uuid4(), name=name, slug=slug)
    permit(user_of(actor), plan.id, Permission.OWNERS_WRITE)
    _set(plan, limits)
    with staff_scope():
        try:
            with transaction.atomic():
                plan.save(force_insert=True)
        except IntegrityError as error:
            raise SlugTaken("Another plan has this slug. Choose another.") from error
    return plan


def change_plan(plan: Plan, limits: Limits, *, name: str | None = None, actor: Actor = None) -> None:
    """For every tenant on it, within a second; streams that are open go on. Staff and the system only."""
    permit(user_of(actor), plan.id, Permission.OWNERS_WRITE)
    limits = checked(limits)
    with staff_scope():
        before = Plan.objects.select_for_update().get(id=plan.id)
        plan.name = checked_name(before.name if name is None else name)
        _set(plan, limits)
        if (before.name, limits_of(before)) == (plan.name, limits):
            return
        plan.save(update_fields=["name", *NAMES])
        on_it = Tenant.objects.filter(plan=plan).values_list("id", flat=True)
        record_for_all(
            actor, on_it.iterator(), "plan.changed", plan.id,
            name=plan.name, before=as_json(limits_of(before)), after=as_json(limits),
        )  # fmt: skip


def set_plan(tenant: Tenant, plan: Plan, *, actor: Actor = None) -> None:
    """Put the tenant on this plan. Staff and the system only."""
    permit(user_of(actor), tenant.id, Permission.OWNERS_WRITE)
    with tenant_scope(tenant.id):
        before = Tenant.objects.select_for_update(of=("self",)).select_related("plan").get(id=tenant.id).plan
        tenant.plan = plan
        if before == plan:
            return
        tenant.save(update_fields=["plan"])
        record(actor, tenant.id, "tenant.plan_changed", tenant.id, before=before.slug, after=plan.slug)


def set_project_limits(project: Project, limits: Limits, *, actor: Actor = None) -> None:
    """Its own, beside those of the tenant's plan: what is higher than the plan's is without effect."""
    permit(actor, project.tenant_id, Permission.PROJECTS_WRITE)
    limits = checked(limits)
    with tenant_scope(project.tenant_id):
        before = limits_of(Project.objects.select_for_update().get(id=project.id))
        _set(project, limits)
        if before == limits:
            return
        project.save(update_fields=NAMES)
        record(
            actor, project.tenant_id, "project.limits_changed", project.id,
            before=as_json(before), after=as_json(limits),
        )  # fmt: skip


def checked(limits: Limits) -> Limits:
    """With the hours as the column keeps them."""
    for name in NAMES:
        value = getattr(limits, name)
        if value is None or name == "audio_hours_a_day":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_COUNT:
            raise LimitMalformed()
    if limits.audio_hours_a_day is None:
        return limits
    try:
        hours = Decimal(limits.audio_hours_a_day).quantize(Decimal("0.001"))
        possible = 0 < hours <= MAX_HOURS
    except (InvalidOperation, TypeError, ValueError):
        raise LimitMalformed() from None
    if not possible:
        raise LimitMalformed()
    return replace(limits, audio_hours_a_day=hours)


def _set(target: Plan | Project, limits: Limits) -> None:
    for name in NAMES:
        setattr(target, name, getattr(limits, name))
