"""What a gateway process says of itself, about once a second."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import connection

FORGOTTEN_AFTER_S = 600


@dataclass(frozen=True)
class Report:
    id: UUID
    region: str
    label: str
    streams: int
    room: int
    workers_room: int
    draining: bool
    version: int


def report(of: Report) -> None:
    """One row a process, however long it lives. Its first one also sweeps away those that died long ago, so
    there are never more than were started within these minutes."""
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO regions_gateway (id, region, label, started_at, seen_at, streams, room,
                                            workers_room, draining, version)
               VALUES (%(id)s, %(region)s, %(label)s, now(), now(), %(streams)s, %(room)s,
                       %(workers_room)s, %(draining)s, %(version)s)
               ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, streams = excluded.streams,
                   room = excluded.room, workers_room = excluded.workers_room,
                   draining = excluded.draining, version = excluded.version
               RETURNING started_at = now()""",
            {
                "id": of.id,
                "region": of.region,
                "label": of.label[:100],
                "streams": of.streams,
                "room": max(0, of.room),
                "workers_room": max(0, of.workers_room),
                "draining": of.draining,
                "version": of.version,
            },
        )
        if cursor.fetchone()[0]:
            cursor.execute(
                "DELETE FROM regions_gateway WHERE seen_at < now() - %s * interval '1 second'",
                [FORGOTTEN_AFTER_S],
            )


def leave(id: UUID) -> None:
    """It stops, and nobody is to wait for it to be missed."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM regions_gateway WHERE id = %s", [id])
