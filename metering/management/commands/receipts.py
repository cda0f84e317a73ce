"""Check the receipts of all tenants, or of one."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from metering.receipts.verify import problems_of
from tenants.models import Tenant
from tenants.scope import staff_scope


class Command(BaseCommand):
    help = "Whether every receipt is as it was signed, and none is missing. Exit status 1 if not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["verify"])
        parser.add_argument("--tenant", metavar="SLUG", help="Of this tenant only.")

    def handle(self, *args: Any, **options: Any) -> None:
        with staff_scope():
            rows = Tenant.objects.order_by("slug")
            if options["tenant"]:
                rows = rows.filter(slug=options["tenant"])
            tenants = list(rows.values_list("id", "slug"))
        if options["tenant"] and not tenants:
            raise CommandError(f"There is no tenant {options['tenant']!r}. --tenant takes its short name.")
        receipts = wrong = 0
        for tenant_id, slug in tenants:
            count, problems = problems_of(tenant_id)
            receipts += count
            wrong += len(problems)
            for problem in problems:
                self.stdout.write(f"{slug}: {problem}")
        if wrong:
            raise CommandError(f"{wrong} things are wrong with {receipts} receipts.")
        self.stdout.write(f"{receipts} receipts of {len(tenants)} tenants are as they were signed.")
