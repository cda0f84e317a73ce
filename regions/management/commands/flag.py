"""The flags: which there are, where they are set, and setting them."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from regions import services
from regions.flags import KNOWN
from regions.management.commands.region import who
from regions.models import Flag
from tenants.errors import Refused
from tenants.models import Tenant
from tenants.scope import staff_scope

VALUES = {"on": True, "off": False, "clear": None}


class Command(BaseCommand):
    help = (
        "Without arguments, list the flags. With them, set one for all, for a region or for a tenant; every "
        "gateway goes by it within seconds. A tenant's setting counts before its region's, and that before "
        "the one for all."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", help=", ".join(KNOWN))
        parser.add_argument(
            "value", nargs="?", choices=tuple(VALUES), help="clear: as if it had never been set"
        )
        parser.add_argument("--region", default="", metavar="NAME")
        parser.add_argument("--tenant", default="", metavar="SLUG")

    def handle(self, *args: Any, **options: Any) -> None:
        name, value = options["name"], options["value"]
        if name is None:
            self._list()
            return
        if value is None:
            raise CommandError("Say what it is to be: on, off or clear.")
        tenant = tenant_of(options["tenant"]) if options["tenant"] else None
        try:
            version = services.set_flag(
                name,
                VALUES[value],
                region=options["region"],
                tenant=None if tenant is None else tenant.id,
                actor=who(),
            )
        except Refused as error:
            raise CommandError(str(error)) from None
        where = options["region"] or options["tenant"] or "all"
        said = "is no longer set" if value == "clear" else f"is {value}"
        self.stdout.write(f"{name} {said} for {where} (configuration {version}).")

    def _list(self) -> None:
        with staff_scope():
            settings = list(Flag.objects.all())
            tenants = Tenant.objects.in_bulk([one.tenant for one in settings if one.tenant])
        for name, flag in KNOWN.items():
            self.stdout.write(f"{name}  {_word(flag.default)} unless set: {flag.means}")
            for one in settings:
                if one.name == name:
                    slug = tenants[one.tenant].slug if one.tenant in tenants else str(one.tenant)
                    where = one.region or (slug if one.tenant else "all")
                    self.stdout.write(f"  {_word(one.value)} for {where}")


def tenant_of(slug: str) -> Tenant:
    with staff_scope():
        found = Tenant.objects.filter(slug=slug).first()
    if found is None:
        raise CommandError(f"There is no tenant {slug!r}.")
    return found


def _word(value: bool) -> str:
    return "on" if value else "off"
