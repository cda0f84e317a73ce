"""Who belongs to a tenant, and as what."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from tenants.errors import AlreadyMember, LastOwner
from tenants.models import Member, Tenant, User
from tenants.permissions import Role, to_give
from tenants.scope import tenant_scope
from tenants.services.audit import Actor, permit, record


def add_member(tenant: Tenant, user: User, role: Role, *, actor: Actor = None) -> Member:
    permit(actor, tenant.id, to_give(role))
    with tenant_scope(tenant.id):
        try:
            with transaction.atomic():
                member = Member.objects.create(tenant=tenant, user=user, role=role.value)
        except IntegrityError as error:
            raise AlreadyMember() from error
        record(actor, tenant.id, "member.added", member.id, user=user.email, role=role.value)
    return member


def change_role(member: Member, role: Role, *, actor: Actor = None) -> None:
    """It takes an owner to make an owner or to unmake one, and the last one stays."""
    with tenant_scope(member.tenant_id):
        before = _locked(member).role
        permit(actor, member.tenant_id, to_give(before))
        permit(actor, member.tenant_id, to_give(role))
        if before == role:
            return
        if before == Role.OWNER:
            _refuse_if_last_owner(member)
        member.role = role.value
        member.save(update_fields=["role"])
        record(actor, member.tenant_id, "member.role_changed", member.id, before=before, after=role.value)


def remove_member(member: Member, *, actor: Actor = None) -> None:
    with tenant_scope(member.tenant_id):
        role = _locked(member).role
        permit(actor, member.tenant_id, to_give(role))
        if role == Role.OWNER:
            _refuse_if_last_owner(member)
        record(actor, member.tenant_id, "member.removed", member.id, user=member.user.email, role=role)
        member.delete()


def _locked(member: Member) -> Member:
    """The member as it is now. The tenant's owners are locked first, in one order, so that two owners who
    demote each other at once cannot both win."""
    list(Member.objects.select_for_update().filter(tenant=member.tenant_id, role=Role.OWNER).order_by("id"))
    return Member.objects.select_for_update().get(id=member.id)


def _refuse_if_last_owner(member: Member) -> None:
    owners = Member.objects.filter(tenant=member.tenant_id, role=Role.OWNER, user__is_active=True)
    if not owners.exclude(id=member.id).exists():
        raise LastOwner()
