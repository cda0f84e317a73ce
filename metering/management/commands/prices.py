"""Show what a plan costs, or set what it will cost."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from metering import periods
from metering.ledger.errors import PricesMalformed
from metering.plans import create_version, versions
from tenants.models import Plan
from tenants.scope import staff_scope

EXAMPLE = """{
  "currency": "USD",
  "effective_from": "FROM",
  "minimum_ms": 0,
  "lines": [
    {"label": "Audio", "model": "", "kind": "", "region": "", "included_ms": 6000000,
     "tiers": [{"up_to_ms": 60000000, "per_minute": "0.0059"}, {"up_to_ms": null, "per_minute": "0.0043"}]}
  ]
}"""
ABOUT = """That is a file of prices. Without effective_from they take effect as soon as they may; without
minimum_ms there is none. Empty model, kind or region: all of them. Of the lines that fit audio, the one that
names most of the three is its price."""
KNOWN = ("currency", "effective_from", "minimum_ms", "lines")


class Command(BaseCommand):
    help = "show: the versions of a plan's prices, or of all plans'. set PLAN FILE: a new version."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=("show", "set", "example"))
        parser.add_argument("plan", nargs="?", help="The plan's slug.")
        parser.add_argument("file", nargs="?", type=Path, help="set: a file of prices, see `prices example`.")

    def handle(self, *args: Any, **options: Any) -> None:
        action, slug, path = options["action"], options["plan"], options["file"]
        if action == "example":
            coming = periods.next(periods.period_of(timezone.now(), "UTC"))
            self.stdout.write(EXAMPLE.replace("FROM", coming.starts_at.isoformat()))
            self.stderr.write(ABOUT)  # apart, so that the example can be made a file
            return
        with staff_scope():
            plans = list(Plan.objects.filter(slug=slug) if slug else Plan.objects.order_by("slug"))
        if not plans:
            raise CommandError(f"There is no plan {slug!r}. `prices show` names those that there are.")
        if action == "show":
            for plan in plans:
                self._show(plan)
            return
        if not slug or path is None:
            raise CommandError("set needs the slug of a plan and a file: prices set demo prices.json")
        self._set(plans[0], path)

    def _set(self, plan: Plan, path: Path) -> None:
        try:
            # A number with a point is no price: prices are texts, so that no float ever touches them.
            found = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise CommandError(f"{path} is no JSON: {error}.") from error
        if not isinstance(found, dict) or not {"currency", "lines"} <= set(found) <= set(KNOWN):
            raise CommandError(f"{path} is an object with currency, lines and at most {', '.join(KNOWN)}.")
        try:
            start = found.get("effective_from")
            at = None if start is None else datetime.fromisoformat(start)
        except (ValueError, TypeError) as error:
            raise CommandError("effective_from is a time in ISO 8601, with a zone.") from error
        try:
            version = create_version(
                plan, at, found["currency"], found["lines"], found.get("minimum_ms", 0), actor=None
            )
        except PricesMalformed as error:
            raise CommandError(f"{error.code}: {error}") from error
        self.stdout.write(f"{plan.slug}: {version}")

    def _show(self, plan: Plan) -> None:
        with staff_scope():
            found = list(versions(plan))
        if not found:
            self.stdout.write(f"{plan.slug}: no prices, usage costs nothing")
        for version in found:
            self.stdout.write(f"{plan.slug}: {version}, {version.currency}, minimum {version.minimum_ms} ms")
            for price in version.prices.all():
                which = " ".join(filter(None, (price.model, price.kind, price.region))) or "all audio"
                self.stdout.write(f"  {price.label} ({which}), {price.included_ms} ms included")
                for tier in price.tiers:
                    until = "all the rest" if tier["up_to_ms"] is None else f"up to {tier['up_to_ms']} ms"
                    self.stdout.write(f"    {until}: {tier['per_minute']} a minute")
