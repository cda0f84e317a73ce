"""What gateways read several times a second, and people when they ask. Outside any scope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connection

from regions.flags import MAX_SETTINGS, Flags, Setting, flags
from regions.models import Flag, Gateway
from regions.routing import Region

# A gateway reports every second; a database that hiccups must not make all regions look dead.
HEARD_WITHIN_S = 4
_HEARD = f"g.seen_at > now() - interval '{HEARD_WITHIN_S} seconds'"

# One statement, so that all of it is of one moment. Each gateway counts the room that it has itself, and that
# of all workers of its region, which therefore bounds what they have together. A region that nobody wrote
# down is there as soon as a gateway of it is.
_VIEW = f"""
SELECT v.version, r.name, r.address, r.zone, r.state, r.capacity, r.gateways, r.streams, r.room
FROM (SELECT coalesce(max(version), 0) AS version FROM regions_change) v
LEFT JOIN (
    SELECT n.name, n.address, n.zone, n.state, n.capacity, count(g.id) AS gateways,
           coalesce(sum(g.streams), 0)::bigint AS streams,
           coalesce(least(sum(g.room), max(g.workers_room)), 0)::bigint AS room
    FROM (SELECT name, address, zone, state, capacity FROM regions_region
          UNION ALL
          SELECT DISTINCT g.region, '', '', 'active', NULL::integer FROM regions_gateway g
          WHERE {_HEARD} AND g.region NOT IN (SELECT name FROM regions_region)) n
    LEFT JOIN regions_gateway g ON g.region = n.name AND NOT g.draining AND {_HEARD}
    GROUP BY 1, 2, 3, 4, 5
) r ON true
"""  # noqa: S608


@dataclass(frozen=True)
class View:
    """All regions as of one moment, and the number of the last change that is in it."""

    version: int
    regions: Mapping[str, Region]
    flags: Flags | None = None  # None: as they were


def view(seen: int | None = None) -> View:
    """`seen`: the version of which the asker has the flags."""
    with connection.cursor() as cursor:
        cursor.execute(_VIEW)
        rows = cursor.fetchall()
    found = {row[1]: Region(*row[1:]) for row in rows if row[1] is not None}
    # Read after the version, they may be newer than it, and are read again then.
    return View(rows[0][0], found, None if rows[0][0] == seen else set_flags())


def set_flags() -> Flags:
    rows = Flag.objects.values_list("name", "region", "tenant", "value")[:MAX_SETTINGS]
    return flags(Setting(*row) for row in rows)


@dataclass(frozen=True)
class Process:
    """A gateway process, as people see it."""

    region: str
    label: str
    silent_s: float
    streams: int
    room: int
    draining: bool
    version: int

    @property
    def heard(self) -> bool:
        return self.silent_s <= HEARD_WITHIN_S


def processes(region: str | None = None) -> list[Process]:
    """Those that have reported within the last minutes, also those that are silent now."""
    rows = Gateway.objects.extra(select={"silent_s": "extract(epoch FROM now() - seen_at)"}).order_by(
        "region", "label"
    )
    if region is not None:
        rows = rows.filter(region=region)
    return [
        Process(row.region, row.label, float(row.silent_s), row.streams, row.room, row.draining, row.version)
        for row in rows
    ]
