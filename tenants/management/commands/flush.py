"""Django's `flush`, as the owner of the schema."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import flush
from django.db import connections

from tenants.database import as_owner


class Command(flush.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        with as_owner(connections[options["database"]]):
            super().handle(*args, **options)
