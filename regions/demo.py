"""The regions and tenants of `make regions`: one tenant of each residency, and a key of it. Running it again
changes nothing while the keys fit; without them new ones take the place of the old."""

from __future__ import annotations

from collections.abc import Mapping

from regions import services
from regions.routing import State
from tenants import selectors
from tenants.access import Scope
from tenants.errors import AccessError
from tenants.models import APIKey, Project, Tenant
from tenants.residency import Rule
from tenants.scope import staff_scope
from tenants.services import create_project, create_tenant, issue_key, revoke_key

WHO = "the demo"
RULES = {
    "anywhere": Rule(),
    "europe": Rule("home", "eu"),
    "atlantic": Rule("allowed", "eu", ("eu", "us")),
}
NAME = "Demo"


def seed(places: Mapping[str, Mapping[str, str]], known: Mapping[str, str]) -> dict[str, str]:
    """The keys by tenant. `places` are the regions, with `address` and `zone`."""
    for name, place in places.items():
        services.ensure_region(name, actor=WHO)
        services.change_region(name, address=place["address"], zone=place["zone"], actor=WHO)
        services.set_state(name, State.ACTIVE, actor=WHO)
    return {slug: _key(slug, rule, known.get(slug)) for slug, rule in RULES.items()}


def _key(slug: str, rule: Rule, known: str | None) -> str:
    with staff_scope():
        tenant = Tenant.objects.filter(slug=slug).first() or create_tenant(slug.capitalize(), slug)
        found = Project.objects.filter(tenant=tenant, archived_at=None).order_by("created_at").first()
        project = found or create_project(tenant, NAME)
    services.set_tenant_residency(tenant, rule, actor=WHO)
    if known is not None:
        try:
            if selectors.find_key(known, scope=Scope.LISTEN).project_id == project.id:
                return known
        except AccessError:
            pass
    with staff_scope():
        for lost in APIKey.objects.filter(project=project, name=NAME, revoked_at=None):
            revoke_key(lost)
    return issue_key(project, name=NAME, scopes=list(Scope))[1]
