"""A plan with prices, and streams that are metered and posted, for tests of what is made of the ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from metering.ledger.post import post_due
from metering.plans import create_version
from metering.tasks import record_requests, record_usage
from metering.tests.test_tasks import event, request
from tenants import services
from tenants.limits import Limits
from tenants.scope import staff_scope

LATER = timedelta(minutes=11)  # when nothing more is waited for
LINES = [
    {
        "label": "Live", "kind": "live", "included_ms": 60_000,
        "tiers": [{"up_to_ms": 600_000, "per_minute": "0.0059"}, {"up_to_ms": None, "per_minute": "0.0043"}],
    },
    {"label": "Everything else", "tiers": [{"up_to_ms": None, "per_minute": "0.002"}]},
]  # fmt: skip


def priced(household: Any, slug: str = "priced", **changes: Any) -> None:
    """Put the tenant on a plan with these prices, from now on."""
    with staff_scope():
        plan = services.create_plan(slug.capitalize(), slug, Limits())
        services.set_plan(household.tenant, plan)
        create_version(plan, None, "USD", LINES, **changes)


def used(household: Any, *events: dict[str, Any]) -> None:
    """Metered, and posted."""
    record_usage([{"processed_at": timezone.now().isoformat(), **one} for one in events])
    post_due(household.tenant.id)


def stream(household: Any, name: str, ms: int, **changes: Any) -> dict[str, Any]:
    return event(household, 0, ms, stream=name, **changes)


def ended(household: Any, name: str, ms: int, ago: timedelta = timedelta(), **changes: Any) -> None:
    at = (timezone.now() - ago).isoformat()
    record_requests(
        [request(household, name, started_at=at, ended_at=at, billed_ms=ms, audio_ms=ms, **changes)]
    )
