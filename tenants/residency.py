"""Where audio of a tenant and of a key may be processed. Pure.

A tenant has a rule; a key may have one of its own, which can only narrow its tenant's: what counts is what
both permit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Residency(StrEnum):
    """Which regions audio may be in."""

    ANY = "any"
    ALLOWED = "allowed"  # those that are listed
    HOME = "home"  # the home region, and no other


INHERIT = ""  # a key without a rule of its own


@dataclass(frozen=True, slots=True)
class Where:
    """What follows of the rules for a key."""

    home: str = ""  # gone to first; empty: wherever the client knocks
    regions: frozenset[str] | None = None  # None: every one

    def permits(self, region: str) -> bool:
        return self.regions is None or region in self.regions


ANYWHERE = Where()


@dataclass(frozen=True, slots=True)
class Rule:
    """The columns of a tenant or a key."""

    residency: str = Residency.ANY
    home: str = ""
    allowed: tuple[str, ...] = ()


def where(tenant: Rule, key: Rule = Rule(residency=INHERIT)) -> Where:
    """What a key of the tenant may do."""
    home = key.home or tenant.home
    regions = _permitted(tenant)
    if key.residency != INHERIT:
        own = _permitted(Rule(key.residency, home, key.allowed))
        regions = own if regions is None else regions if own is None else regions & own
    if regions is not None and home not in regions:
        home = tenant.home if tenant.home in regions else ""
    return Where(home, regions)


def _permitted(rule: Rule) -> frozenset[str] | None:
    if rule.residency == Residency.ANY:
        return None
    if rule.residency == Residency.ALLOWED:
        return frozenset(rule.allowed)
    # Also a rule that this version does not know: rather too narrow than too wide.
    return frozenset({rule.home}) if rule.home else frozenset()


def rule_of(source: object) -> Rule:
    """The one in the attributes of a tenant or a key."""
    return Rule(
        residency=getattr(source, "residency"),  # noqa: B009
        home=getattr(source, "home_region"),  # noqa: B009
        allowed=tuple(getattr(source, "allowed_regions")),  # noqa: B009
    )


def from_json(values: Mapping[str, Any]) -> Where:
    """As `tenants_find_grant` writes it: of the tenant and of the key."""
    return where(_rule(values["tenant"]), _rule(values["key"]))


def _rule(values: Mapping[str, Any]) -> Rule:
    return Rule(values["residency"], values["home"], tuple(values["allowed"]))


def as_json(rule: Rule) -> dict[str, object]:
    """For the audit log."""
    return {"residency": rule.residency, "home": rule.home, "allowed": sorted(rule.allowed)}


def listed(regions: Iterable[str]) -> str:
    return ", ".join(sorted(regions)) or "none"
