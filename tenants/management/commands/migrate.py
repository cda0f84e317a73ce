"""Django's `migrate`, as the owner of the schema."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

from tenants.database import as_owner


class Command(migrate.Command):
    def execute(self, *args: Any, **options: Any) -> str | None:
        # Its checks ask the database before it begins, when the roles may not be there yet.
        with as_owner(connections[options["database"]]):
            return super().execute(*args, **options)
