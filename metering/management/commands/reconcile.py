"""Compare the records of a day, and mend what differs."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from metering import reconcile
from metering.ledger import accounts
from metering.reconcile import apply, report
from metering.reconcile.run import differences
from tenants.models import Tenant
from tenants.scope import staff_scope

FIRST_YEAR = 2020  # what says that it is older is stored as of then


class Command(BaseCommand):
    help = (
        "Compare ledger, inference log, the payment provider's sums and invoices of a day (UTC), replay what "
        "was lost, credit what was counted twice, send what the provider lacks. Exit status 0: nothing "
        "differs, or all of it was mended; 1: something waits or needs a person."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--day", type=_day, metavar="2026-11-20", help="The day; yesterday if not given.")
        parser.add_argument("--tenant", metavar="SLUG", help="This tenant alone.")
        parser.add_argument("--dry-run", action="store_true", help="Change nothing; say what would be done.")
        parser.add_argument("--json", action="store_true", help="Print the whole report as JSON.")
        parser.add_argument(
            "--conservative",
            choices=("on", "off"),
            help="Of --tenant, and run nothing: while it is on, nothing found lost is charged, what is "
            "counted twice is credited, and nothing is sent to the payment provider.",
        )

        parser.add_argument(
            "--close", type=int, metavar="NUMBER", help="Run nothing: somebody has looked at this difference."
        )
        parser.add_argument("--because", metavar="TEXT", help="With --close: what they found.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = self._tenant(options["tenant"])
        if options["conservative"] is not None:
            if tenant is None:
                raise CommandError("--conservative needs --tenant: whose?")
            accounts.change(tenant, actor=None, conservative=options["conservative"] == "on")
            self.stdout.write(f"Conservative mode of {options['tenant']} is {options['conservative']}.")
            return
        if options["because"] is not None and options["close"] is None:
            raise CommandError("--because goes with --close NUMBER: of which difference?")
        if options["close"] is not None:
            self._close(options["close"], options["because"])
            return
        day = options["day"] or timezone.now().date() - timedelta(days=1)
        try:
            run = reconcile.run(day, tenant, dry_run=options["dry_run"], say=self._say)
        except reconcile.ReconcileError as error:
            raise CommandError(str(error)) from error
        found = differences(run)
        if options["json"]:
            self.stdout.write(json.dumps(report.document(run, found), indent=2))
        else:
            self.stdout.write(report.text(run, found), ending="")
        if run.summary["left"]:
            sys.exit(1)

    def _close(self, number: int, because: str | None) -> None:
        if not because:
            raise CommandError("--close needs --because: what did you find?")
        try:
            closed = apply.close(number, because, timezone.now())
        except reconcile.ReconcileError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Difference #{number} ({closed.kind}, {closed.day}) is closed.")

    def _say(self, text: str) -> None:
        self.stderr.write(text)

    def _tenant(self, slug: str | None) -> UUID | None:
        if slug is None:
            return None
        with staff_scope():
            found = Tenant.objects.filter(slug=slug).values_list("id", flat=True).first()
        if found is None:
            raise CommandError(f"There is no tenant {slug!r}. --tenant takes its short name.")
        return found


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"it takes a day such as 2026-11-20, not {text}.") from None
    if day.year < FIRST_YEAR:
        raise ArgumentTypeError(f"there is no usage of before {FIRST_YEAR}.")
    return day
