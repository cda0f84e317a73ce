"""What is read about tenants.

The first four are for gateways, which know no tenant before they have found the key: they go through
functions of the database that see past row-level security and give no more than this. Call them outside
any scope; from async code through `channels.db.database_sync_to_async`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from tenants import access, limits, residency
from tenants.access import KeyGrant
from tenants.models import Member, User

_GRANT = """tenant_id, project_id, key_id, prefix, sha256, scopes, expires_at, revoked_at, allowed_origins,
            tenant_state, plan, plan_limits, project_limits, hold, residency"""


@dataclass(frozen=True)
class Changes:
    """`grants`: keys that may have changed, as they are now. `moment`: what to ask with next time."""

    grants: tuple[KeyGrant, ...]
    moment: int


def find_grant(prefix: str) -> KeyGrant | None:
    """The grant of the key with this prefix, in whatever state, or None. One indexed read.

    It proves nothing yet: `access.check` it with the whole secret. It may be kept for a few seconds, and
    None as well, if what is kept is bounded; drop or replace it by what `changes_since` brings.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_GRANT} FROM tenants_find_grant(%s)", [prefix])  # noqa: S608
        row = cursor.fetchone()
    return _grant(row) if row is not None else None


def find_grants(prefixes: Sequence[str]) -> list[KeyGrant]:
    """The same of many keys at once, of those that there are."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_GRANT} FROM unnest(%s::text[]) wanted, tenants_find_grant(wanted)",  # noqa: S608
            [list(prefixes)],
        )
        return [_grant(row) for row in cursor.fetchall()]


def find_key(
    secret: str | None, *, scope: str | None = None, origin: str | None = None, now: datetime | None = None
) -> KeyGrant:
    """The grant of the key whose text is `secret`, checked; an `errors.AccessError` otherwise."""
    prefix = access.prefix_of(secret)
    assert secret is not None  # noqa: S101 - prefix_of refuses None
    return access.check(
        find_grant(prefix), secret=secret, scope=scope, origin=origin, now=now or timezone.now()
    )


def changes_since(moment: int | None) -> Changes:
    """Every key issued, revoked, rotated, re-dated, or whose tenant or project changed state, limits,
    hold or regions, since `moment`.

    Begin with None: no grants, and the present moment. Then ask again and again, each time with the moment
    that the last answer gave. For each grant: replace the cached one of that `prefix` (also a cached None),
    and run `access.check_state` for open streams of that `key_id`.

    A moment is a transaction number, not a time: below it everything is decided and seen. So no clock
    matters, and a change whose transaction is slow to commit comes when it has committed; the price is that
    a change may come more than once. A caller that could not ask for a while begins with None and reads again
    what it keeps, with `find_grants`: changes of a day ago are not told any more, and behind another server
    the numbers may be others.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT now.moment, {_GRANT}
                FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS moment) now
                LEFT JOIN tenants_grants_changed(%s::text::xid8) ON true""",  # noqa: S608
            [moment],
        )
        rows = cursor.fetchall()
    return Changes(tuple(_grant(row[1:]) for row in rows if row[1] is not None), rows[0][0])


def member_of(user: User, tenant_id: UUID) -> Member | None:
    """The user's place in this tenant, or None. Inside the tenant's scope."""
    return Member.objects.select_related("user").filter(tenant_id=tenant_id, user=user).first()


def members() -> QuerySet[Member]:
    """Of the tenant in scope."""
    return Member.objects.select_related("user").order_by("user__email")


def _grant(row: tuple[Any, ...]) -> KeyGrant:
    tenant_id, project_id, key_id, prefix, sha256, scopes, expires_at, revoked_at, *more = row
    allowed_origins, state, plan, plan_limits, project_limits, hold, rules = more
    return KeyGrant(
        tenant_id=tenant_id,
        project_id=project_id,
        key_id=key_id,
        prefix=prefix,
        sha256=bytes(sha256),
        scopes=frozenset(scopes),
        expires_at=expires_at,
        revoked_at=revoked_at,
        allowed_origins=frozenset(allowed_origins),
        tenant_state=state,
        plan=plan,
        plan_limits=limits.from_json(json.loads(plan_limits)),
        project_limits=limits.from_json(json.loads(project_limits)),
        hold=hold,
        where=residency.from_json(json.loads(rules)),
    )
