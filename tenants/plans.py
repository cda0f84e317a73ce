"""The plan of every tenant that has no other. It must be there for a tenant to be made, so it is made again
where a flush of the database has taken it."""

from __future__ import annotations

from typing import Any

from django.apps import apps as current_apps

from tenants.limits import DEFAULT_PLAN, Limits, as_json

NAME, SLUG = "Default", "default"
# Generous: they keep one tenant's mistake from being everybody's, and are there to be changed.
LIMITS = Limits(streams_at_once=1000, openings_a_minute=12_000, requests_a_second=200)


def ensure_default_plan(using: str, apps: Any = current_apps, **_: Any) -> None:
    """Receiver of `post_migrate`, which also follows a flush; runs as the owner of the schema."""
    try:
        plan = apps.get_model("tenants", "Plan")
    except LookupError:
        return  # migrated back to before there were plans
    plan.objects.using(using).get_or_create(
        id=DEFAULT_PLAN, defaults={"name": NAME, "slug": SLUG, **as_json(LIMITS)}
    )
