"""Django's `flush`, as the owner of the schema."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import flush
from django.db import connections

from tenants.database import as_owner


class Command(flush.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        with as_owner(connection):
            with connection.cursor() as cursor:
                # What only grows may be emptied by nobody else; see metering/migrations/0005_rated.py.
                cursor.execute("SET stenogate.flushing = 'on'")
            super().handle(*args, **options)
