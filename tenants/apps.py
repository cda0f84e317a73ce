from __future__ import annotations

from django.apps import AppConfig
from django.db.backends.signals import connection_created

from tenants.database import take_role


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = "Tenants"

    def ready(self) -> None:
        connection_created.connect(take_role, dispatch_uid="tenants.take_role")
