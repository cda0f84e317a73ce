"""Where audio may be: what follows of a tenant's rule and a key's."""

from __future__ import annotations

import pytest

from tenants.residency import Rule, Where, from_json, rule_of, where
from tenants.selectors import find_grant
from tenants.services import issue_key, rotate_key

EU, US = "eu", "us"


@pytest.mark.parametrize(
    ("tenant", "key", "found"),
    [
        (Rule(), Rule(""), Where()),
        (Rule("any", EU), Rule(""), Where(EU)),
        (Rule("home", EU), Rule(""), Where(EU, frozenset({EU}))),
        (Rule("allowed", "", (EU, US)), Rule(""), Where("", frozenset({EU, US}))),
        (Rule("allowed", EU, (EU, US)), Rule(""), Where(EU, frozenset({EU, US}))),
        # A key narrows.
        (Rule("any", EU), Rule("home"), Where(EU, frozenset({EU}))),
        (Rule("any", EU), Rule("home", US), Where(US, frozenset({US}))),
        (Rule("allowed", EU, (EU, US)), Rule("allowed", "", (US, "ap")), Where("", frozenset({US}))),
        (Rule("allowed", EU, (EU, US)), Rule("", US), Where(US, frozenset({EU, US}))),
        # And never widens, whatever it says.
        (Rule("home", EU), Rule("any"), Where(EU, frozenset({EU}))),
        (Rule("home", EU), Rule("", US), Where(EU, frozenset({EU}))),
        (Rule("home", EU), Rule("allowed", US, (US,)), Where("", frozenset())),
        (Rule("home", EU), Rule("home", US), Where("", frozenset())),
        # What cannot be read is narrow.
        (Rule("of a later version", EU, (US,)), Rule(""), Where(EU, frozenset({EU}))),
        (Rule("of a later version"), Rule(""), Where("", frozenset())),
        (Rule("home"), Rule(""), Where("", frozenset())),
    ],
)
def test_what_both_permit(tenant: Rule, key: Rule, found: Where) -> None:
    assert where(tenant, key) == found


def test_who_permits_what() -> None:
    assert Where().permits("anywhere")
    assert Where(EU, frozenset({EU})).permits(EU)
    assert not Where(EU, frozenset({EU})).permits(US)
    assert not Where(EU, frozenset()).permits(EU)


def test_as_the_database_writes_it() -> None:
    rules = {
        "tenant": {"residency": "allowed", "home": EU, "allowed": [EU, US]},
        "key": {"residency": "", "home": "", "allowed": []},
    }
    assert from_json(rules) == Where(EU, frozenset({EU, US}))


@pytest.mark.django_db
def test_a_key_that_replaces_or_is_issued_by_another_is_as_narrow(acme) -> None:
    from tenants.models import APIKey
    from tenants.scope import tenant_scope

    with tenant_scope(acme.tenant.id):
        APIKey.objects.filter(id=acme.key.id).update(
            residency="allowed", allowed_regions=[EU], scopes=["listen", "keys:write"]
        )
    new, _ = rotate_key(acme.key)
    assert rule_of(new) == Rule("allowed", "", (EU,))
    grant = find_grant(new.prefix)
    assert grant is not None
    assert grant.where == Where("", frozenset({EU}))
    child, _ = issue_key(acme.project, name="Child", actor=grant)
    assert rule_of(child) == Rule("allowed", "", (EU,))
    other, _ = issue_key(acme.project, name="Other")
    assert rule_of(other) == Rule("")
