"""Prices for the demo's plan, so that its usage costs something and its invoices can be looked at."""

from __future__ import annotations

from typing import Any

from metering.models import PlanVersion
from metering.plans import create_version
from tenants.demo import SLUG
from tenants.models import Plan
from tenants.scope import staff_scope


def _line(label: str, kind: str, price: str, at_volume: str, **more: Any) -> dict[str, Any]:
    tiers = [
        {"up_to_ms": 60_000 * 100_000, "per_minute": price},
        {"up_to_ms": None, "per_minute": at_volume},
    ]
    return {"label": label, "kind": kind, "tiers": tiers, **more}


LINES = [
    _line("Live audio", "live", "0.0058", "0.0048", included_ms=60_000 * 10),
    _line("Recorded audio", "recorded", "0.0043", "0.0035"),
]


def price() -> None:
    """Once: a plan that has prices keeps them."""
    with staff_scope():
        plan = Plan.objects.select_for_update().get(slug=SLUG)
        if not PlanVersion.objects.filter(plan=plan).exists():
            create_version(plan, None, "USD", LINES)
