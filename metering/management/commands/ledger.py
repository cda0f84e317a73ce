"""Prove the ledger, or show the end of it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from metering.ledger.verify import MAX_FINDINGS, verify
from metering.models import Account, LedgerEntry
from tenants.models import Tenant
from tenants.scope import staff_scope, tenant_scope


class Command(BaseCommand):
    help = (
        "verify: find rows that were changed, taken out, put in or moved, and sums that disagree; the exit \
status is 1 where there are any. show: the last entries of a tenant and its balance."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=("verify", "show"))
        parser.add_argument("--tenant", metavar="SLUG", help="Only this tenant.")
        parser.add_argument("--last", type=int, default=20, help="show: how many entries.")

    def handle(self, *args: Any, **options: Any) -> None:
        with staff_scope():
            tenants = Tenant.objects.order_by("slug")
            if options["tenant"]:
                tenants = tenants.filter(slug=options["tenant"])
            chosen = list(tenants)
        if not chosen:
            raise CommandError("There is no such tenant.")
        if options["action"] == "show":
            if len(chosen) != 1:
                raise CommandError("show needs --tenant.")
            self._show(chosen[0], max(0, options["last"]))
            return
        wrong = sum(self._verify(tenant) for tenant in chosen)
        if wrong:
            raise CommandError(f"{wrong} of {len(chosen)} ledgers cannot be right.", returncode=1)
        self.stdout.write(f"{len(chosen)} ledgers are right.")

    def _verify(self, tenant: Tenant) -> bool:
        findings = verify(tenant.id)
        for finding in findings:
            self.stdout.write(f"{tenant.slug}: {finding}")
        if len(findings) == MAX_FINDINGS:
            self.stdout.write(f"{tenant.slug}: and perhaps more")
        return bool(findings)

    def _show(self, tenant: Tenant, last: int) -> None:
        with tenant_scope(tenant.id):
            entries = LedgerEntry.objects.filter(tenant_id=tenant.id).order_by("-seq")[:last]
            for entry in reversed(entries):
                what = entry.stream or entry.reason
                spread = f" [{entry.from_ms}, {entry.to_ms})" if entry.from_ms is not None else ""
                waived = f" (waived {entry.waived})" if entry.waived else ""
                self.stdout.write(
                    f"{entry.seq:>8} {entry.at:%Y-%m-%d %H:%M:%S} {entry.kind:<10} {entry.period:%Y-%m} "
                    f"{entry.ms:>10} ms {entry.amount:>16} {entry.currency}{waived} {what}{spread}"
                )
            account = Account.objects.filter(tenant_id=tenant.id).first()
        if account is None:
            self.stdout.write("There is no account yet.")
            return
        self.stdout.write(
            f"{account.last_seq} entries, balance {account.balance} {account.currency}, "
            f"charged {account.charged} in {account.period}, head {bytes(account.last_hash).hex()}"
        )
