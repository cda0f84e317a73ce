"""What was configured, by whom and when: the numbered history of all that gateways go by."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from regions.models import Change
from tenants.scope import staff_scope

MOST = 10_000


class Command(BaseCommand):
    help = "Show the newest changes of the configuration: regions, flags, plans, limits and residency."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--last", type=int, default=20, metavar="N", help="how many (default 20)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["last"] <= MOST:
            raise CommandError(f"--last is a number from 1 to {MOST}.")
        with staff_scope():
            changes = list(Change.objects.all()[: options["last"]])
        for one in reversed(changes):
            at = one.at.strftime("%Y-%m-%d %H:%M:%S")
            details = json.dumps(one.details, sort_keys=True)
            self.stdout.write(f"{one.version}  {at}  {one.who}  {one.what}  {one.subject}  {details}")
        if not changes:
            self.stdout.write("Nothing has been configured yet.")
