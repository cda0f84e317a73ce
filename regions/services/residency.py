"""Where audio of a tenant and of a key may be. Gateways hear of it as of a revoked key: streams that are
where they may not be any more are wound up."""

from __future__ import annotations

import uuid

from regions.errors import KeyWidens, ResidencyMalformed
from regions.services.history import Actor, permit, version
from regions.services.registry import must_be_there
from tenants.models import APIKey, Tenant
from tenants.residency import INHERIT, Residency, Rule, as_json, listed, rule_of, where
from tenants.scope import staff_scope, tenant_scope
from tenants.services.audit import record


def set_tenant_residency(tenant: Tenant, rule: Rule, *, actor: Actor) -> int:
    """Returns the version of the configuration that has it. Keys that are left with no region keep their
    rule, and are refused by name until it or the tenant's is another."""
    permit(actor)
    _check(rule, inherits=False)
    with tenant_scope(tenant.id):
        row = Tenant.objects.select_for_update().get(id=tenant.id)
        return _set(row, rule, "tenant.residency_changed", row.id, actor)


def set_key_residency(key: APIKey, rule: Rule, *, actor: Actor) -> int:
    """Narrower than its tenant's, or the tenant's again."""
    permit(actor)
    _check(rule, inherits=True)
    with tenant_scope(key.tenant_id):
        # The tenant first, as everywhere: whoever changes its rule at this moment waits, or we do.
        of_tenant = rule_of(Tenant.objects.select_for_update().get(id=key.tenant_id))
        permitted = where(of_tenant).regions
        named = {rule.home, *rule.allowed} - {""}
        if permitted is not None and (beyond := named - permitted):
            raise KeyWidens(
                f"A key may only be narrower than its tenant, which permits {listed(permitted)}; "
                f"not {listed(beyond)}."
            )
        if where(of_tenant, rule).regions == frozenset():
            raise ResidencyMalformed("The rule home needs a home region, of the key or of its tenant.")
        row = APIKey.objects.select_for_update().get(id=key.id)
        return _set(row, rule, "key.residency_changed", row.tenant_id, actor)


def _set(row: Tenant | APIKey, rule: Rule, action: str, tenant_id: uuid.UUID, actor: Actor) -> int:
    before = rule_of(row)
    rule = Rule(rule.residency, rule.home, tuple(sorted(set(rule.allowed))))
    if before == rule:
        return version()
    row.residency, row.home_region, row.allowed_regions = rule.residency, rule.home, list(rule.allowed)
    row.save(update_fields=["residency", "home_region", "allowed_regions"])
    record(actor, tenant_id, action, row.id, before=as_json(before), after=as_json(rule))
    return version()


def _check(rule: Rule, *, inherits: bool) -> None:
    rules = [*Residency, *([INHERIT] if inherits else [])]
    if rule.residency not in rules:
        raise ResidencyMalformed(f"The rule is one of {', '.join(filter(None, rules))}.")
    if bool(rule.allowed) != (rule.residency == Residency.ALLOWED):
        raise ResidencyMalformed("The rule allowed needs a list of regions, and no other rule has one.")
    if rule.residency == Residency.ALLOWED and rule.home and rule.home not in rule.allowed:
        raise ResidencyMalformed("The home region is not among those that are allowed.")
    if rule.residency == Residency.HOME and not rule.home and not inherits:
        raise ResidencyMalformed("The rule home needs a home region.")
    with staff_scope():
        must_be_there({rule.home, *rule.allowed} - {""})
