from __future__ import annotations

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate

from tenants.database import take_role
from tenants.plans import ensure_default_plan


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = "Tenants"

    def ready(self) -> None:
        connection_created.connect(take_role, dispatch_uid="tenants.take_role")
        post_migrate.connect(ensure_default_plan, sender=self, dispatch_uid="tenants.ensure_default_plan")
