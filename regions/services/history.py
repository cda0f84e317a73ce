"""The one history of what gateways go by. What services of `tenants` tell in the audit log gets its number
there by a trigger of the database; see `regions/migrations/0002_history.py`."""

from __future__ import annotations

import json
from typing import TypeAlias
from uuid import UUID

from django.db import connection

from tenants.errors import RoleNotAllowed
from tenants.models import User

Actor: TypeAlias = User | str


def permit(actor: Actor) -> None:
    """Regions and flags are ours: no customer's doing."""
    if isinstance(actor, User) and not (actor.is_staff and actor.is_active):
        raise RoleNotAllowed()


def note(actor: Actor, what: str, subject: str, tenant: UUID | None = None, **details: object) -> int:
    """Number a change, last of all in its transaction: the next one waits for its end."""
    who = f"staff {actor.email}" if isinstance(actor, User) else actor
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT regions_note(%s, %s, %s, %s, %s)", [who, what, subject, tenant, json.dumps(details)]
        )
        return int(cursor.fetchone()[0])


def version() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(version), 0) FROM regions_change")
        return int(cursor.fetchone()[0])
