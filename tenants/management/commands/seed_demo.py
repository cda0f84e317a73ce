"""Make the demo tenant, and print how to get in."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from metering.demo import price
from tenants import demo


class Command(BaseCommand):
    help = (
        "Make, once, a demo tenant with a project, a key and a staff user, and print the key and the user's "
        "password as JSON. Works with DEMO=true only."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--secrets",
            type=Path,
            metavar="FILE",
            help="Keep the secrets in this file, readable by you alone. While it fits the database, running "
            "again prints the same; without it, a new key and password replace the old.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("seed_demo makes a login whose password is printed: it needs DEMO=true.")
        path: Path | None = options["secrets"]
        known = demo.read(path) if path else None
        found = demo.seed(known)
        price()
        if path and found != known:
            try:
                demo.write(path, found)
            except OSError as error:
                raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
        self.stdout.write(json.dumps(asdict(found)))
