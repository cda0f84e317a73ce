from __future__ import annotations

import pytest

from regions import errors, services
from tenants import selectors
from tenants.errors import RoleNotAllowed
from tenants.models import AuditEntry
from tenants.residency import Rule, Where
from tenants.scope import tenant_scope

pytestmark = pytest.mark.django_db
EU, US = "eu", "us"


@pytest.fixture(autouse=True)
def regions(db):
    for name in (EU, US):
        services.add_region(name, actor="test")


def found(who) -> Where:
    grant = selectors.find_grant(who.key.prefix)
    assert grant is not None
    return grant.where


def test_a_tenant_stays_at_home_and_nobody_else_does(acme, rival, staff):
    services.set_tenant_residency(acme.tenant, Rule("home", EU), actor=staff)
    assert found(acme) == Where(EU, frozenset({EU}))
    assert found(rival) == Where()
    with tenant_scope(acme.tenant.id):
        entry = AuditEntry.objects.get(action="tenant.residency_changed")
    assert entry.actor == "staff staff@stenogate.example"
    assert entry.details == {
        "before": {"residency": "any", "home": "", "allowed": []},
        "after": {"residency": "home", "home": EU, "allowed": []},
    }


def test_a_key_narrows_and_cannot_widen(acme):
    services.set_tenant_residency(acme.tenant, Rule("allowed", "", (US, EU)), actor="test")
    services.set_key_residency(acme.key, Rule("allowed", "", (US,)), actor="test")
    assert found(acme) == Where("", frozenset({US}))
    services.set_tenant_residency(acme.tenant, Rule("home", EU), actor="test")
    assert found(acme) == Where("", frozenset())
    with pytest.raises(errors.KeyWidens, match="which permits eu; not us"):
        services.set_key_residency(acme.key, Rule("", US), actor="test")
    services.set_key_residency(acme.key, Rule(""), actor="test")
    assert found(acme) == Where(EU, frozenset({EU}))


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (Rule("nowhere"), errors.ResidencyMalformed),
        (Rule("", EU), errors.ResidencyMalformed),
        (Rule("home"), errors.ResidencyMalformed),
        (Rule("home", EU, (EU,)), errors.ResidencyMalformed),
        (Rule("any", EU, (EU,)), errors.ResidencyMalformed),
        (Rule("allowed"), errors.ResidencyMalformed),
        (Rule("allowed", US, (EU,)), errors.ResidencyMalformed),
        (Rule("home", "mars"), errors.RegionUnknown),
        (Rule("allowed", "", (EU, "mars")), errors.RegionUnknown),
    ],
)
def test_rules_that_make_no_sense(acme, rule, error):
    with pytest.raises(error):
        services.set_tenant_residency(acme.tenant, rule, actor="test")
    assert found(acme) == Where()


def test_a_key_that_would_have_no_region_is_none(acme):
    with pytest.raises(errors.ResidencyMalformed, match="needs a home region, of the key or of its tenant"):
        services.set_key_residency(acme.key, Rule("home"), actor="test")


def test_customers_do_not_move_themselves(acme):
    with pytest.raises(RoleNotAllowed):
        services.set_tenant_residency(acme.tenant, Rule("home", EU), actor=acme.owner.user)


@pytest.mark.django_db(transaction=True)
def test_gateways_hear_of_it(acme, rival):
    moment = selectors.changes_since(None).moment
    services.set_tenant_residency(acme.tenant, Rule("home", EU), actor="test")
    told = selectors.changes_since(moment)
    assert [(grant.prefix, grant.where.home) for grant in told.grants] == [(acme.key.prefix, EU)]
    services.set_key_residency(rival.key, Rule("home", US), actor="test")
    told = selectors.changes_since(told.moment)
    assert [(grant.prefix, grant.where.home) for grant in told.grants] == [(rival.key.prefix, US)]
