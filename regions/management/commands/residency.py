"""Where audio of a tenant, or of one of its keys, may be."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from regions import services
from regions.management.commands.flag import tenant_of
from regions.management.commands.region import who
from tenants.errors import Refused
from tenants.models import APIKey, Tenant
from tenants.residency import INHERIT, Residency, Rule, listed, rule_of, where
from tenants.scope import staff_scope


class Command(BaseCommand):
    help = (
        "Show, or with --rule set, where audio of a tenant may be. Streams that are where they may not be "
        "any more are wound up within a second, and their clients sent on when they come back."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", metavar="SLUG")
        parser.add_argument("--key", metavar="PREFIX", help="of this key, which can only be narrower")
        parser.add_argument(
            "--rule",
            choices=[*Residency, "inherit"],
            help="any region, those in --allow, or the home region alone; inherit: a key's tenant's",
        )
        parser.add_argument("--home", default="", metavar="REGION", help="the region that is gone to first")
        parser.add_argument("--allow", default="", metavar="REGIONS", help="with commas between them")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = tenant_of(options["tenant"])
        key = _key(tenant, options["key"]) if options["key"] else None
        if options["rule"] is not None:
            rule = Rule(
                INHERIT if options["rule"] == "inherit" else options["rule"],
                options["home"],
                tuple(filter(None, (name.strip() for name in options["allow"].split(",")))),
            )
            try:
                if key is None:
                    services.set_tenant_residency(tenant, rule, actor=who())
                else:
                    services.set_key_residency(key, rule, actor=who())
            except Refused as error:
                raise CommandError(str(error)) from None
            tenant = tenant_of(options["tenant"])
            key = _key(tenant, options["key"]) if options["key"] else None
        elif options["home"] or options["allow"]:
            raise CommandError("--home and --allow are parts of a rule: give --rule, too.")
        found = where(rule_of(tenant)) if key is None else where(rule_of(tenant), rule_of(key))
        places = "any region" if found.regions is None else listed(found.regions)
        first = f", first {found.home}" if found.home else ""
        self.stdout.write(f"{key or tenant.slug}: {places}{first}.")


def _key(tenant: Tenant, prefix: str) -> APIKey:
    prefix = prefix.removeprefix("sk_")[:12]
    with staff_scope():
        found = APIKey.objects.filter(tenant=tenant, prefix=prefix).first()
    if found is None:
        raise CommandError(f"{tenant.slug} has no key that begins with sk_{prefix}.")
    return found
