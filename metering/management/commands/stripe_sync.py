"""`manage.py stripe_sync`: make at Stripe what is missing there, and say what was made. Run it twice, and the
second time makes nothing."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from metering.payments import sync
from metering.payments.errors import PaymentsError
from tenants.access import TenantState
from tenants.models import Tenant
from tenants.scope import staff_scope


class Command(BaseCommand):
    help = "Make the product, meters, prices, customers and subscriptions that are missing at Stripe."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--tenant", action="append", metavar="SLUG", help="only this one; may be repeated"
        )
        parser.add_argument(
            "--anew",
            action="store_true",
            help="trust no row of ours: look everything up, make what was removed",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        tenants = self._tenants(options["tenant"])
        try:
            run = sync.Sync(tell=self.stdout.write)
            if options["anew"]:
                sync.forget()
            made = run.tenants(tenants)
        except PaymentsError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{len(tenants)} tenants; {made or 'nothing'} made")

    def _tenants(self, slugs: list[str] | None) -> list[Tenant]:
        with staff_scope():
            if slugs is None:
                return list(Tenant.objects.filter(state=TenantState.ACTIVE.value).order_by("slug"))
            found = list(Tenant.objects.filter(slug__in=slugs).order_by("slug"))
        if missing := sorted(set(slugs) - {tenant.slug for tenant in found}):
            raise CommandError(f"there is no tenant {', '.join(missing)}")
        return found
