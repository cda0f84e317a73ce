"""Prove the ledger, show the end of it, or put money into it."""

from __future__ import annotations

from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from metering.ledger.accounts import locked_account
from metering.ledger.append import NewEntry, append
from metering.ledger.errors import EntryMalformed
from metering.ledger.verify import MAX_FINDINGS, verify
from metering.models import Account, LedgerEntry
from metering.models.ledger import EntryKind
from tenants.models import Tenant
from tenants.scope import staff_scope, tenant_scope
from tenants.services.audit import record

KINDS = {"credit": EntryKind.CREDIT, "adjust": EntryKind.ADJUSTMENT}


class Command(BaseCommand):
    help = (
        "verify: find rows that were changed, taken out, put in or moved, and sums that disagree; the exit \
status is 1 where there are any. show: the last entries of a tenant and its balance. credit: enter what was \
paid or given; invoices do not change. adjust: a line of the next invoice, above or below 0."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=("verify", "show", *KINDS))
        parser.add_argument("--tenant", metavar="SLUG", help="Only this tenant.")
        parser.add_argument("--last", type=int, default=20, help="show: how many entries.")
        parser.add_argument(
            "--amount",
            help="credit, adjust: money in the account's currency, such as 20.00; adjust: or -12.50.",
        )
        parser.add_argument("--reason", help="credit, adjust: what it is for. The customer reads it.")
        parser.add_argument(
            "--reference",
            default="",
            help="credit, adjust: what is entered once, such as a transfer's number.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with staff_scope():
            tenants = Tenant.objects.order_by("slug")
            if options["tenant"]:
                tenants = tenants.filter(slug=options["tenant"])
            chosen = list(tenants)
        if options["tenant"] and not chosen:
            raise CommandError(f"There is no tenant {options['tenant']!r}. --tenant takes its short name.")
        action = options["action"]
        if action != "verify" and not options["tenant"]:
            raise CommandError(f"{action} needs --tenant.")
        if action == "show":
            self._show(chosen[0], max(0, options["last"]))
            return
        if action in KINDS:
            self._enter(chosen[0], action, options["amount"], options["reason"], options["reference"])
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

    def _enter(
        self, tenant: Tenant, action: str, amount: str | None, reason: str | None, reference: str
    ) -> None:
        if amount is None or reason is None:
            raise CommandError(f"{action} needs --amount and --reason.")
        if not reason.isprintable() or not reference.isprintable():
            raise CommandError("--reason and --reference are one line of printable characters each.")
        try:
            money = Decimal(amount)
        except InvalidOperation:
            money = Decimal("nan")
        if not money.is_finite():
            raise CommandError(f"--amount {amount}? It takes money such as 20.00.")
        if action == "credit" and not money > 0:
            raise CommandError(
                "A credit is above 0. What is to be paid more is an adjustment: ledger adjust."
            )
        entered = -money if action == "credit" else money
        # A name of staff's own, so that no reference of the service's is taken for it.
        new = NewEntry(KINDS[action], reason, f"staff:{reference}" if reference else "", entered)
        with tenant_scope(tenant.id):
            before = locked_account(tenant.id).last_seq
            try:
                (entry,) = append(tenant.id, [new])
            except EntryMalformed as error:
                raise CommandError(f"{error.code}: {error}") from error
            if entry.seq > before:
                record(
                    None, tenant.id, f"ledger.{action}", tenant.id,
                    seq=entry.seq, amount=str(entry.amount), currency=entry.currency, reason=reason,
                )  # fmt: skip
            elif (entry.kind, entry.amount + entry.waived) != (KINDS[action], entered):
                raise CommandError(f"{reference!r} is entry {entry.seq} already, and says something else.")
            balance = Account.objects.get(tenant_id=tenant.id).balance
        was = "" if entry.seq > before else " already"
        shown = -entry.amount if action == "credit" else entry.amount
        waived = f", {entry.waived} waived" if entry.waived else ""
        self.stdout.write(
            f"{tenant.slug}: {entry.kind} of {shown} {entry.currency}{waived} "
            f"is entry {entry.seq}{was}; the balance is {balance} {entry.currency}."
        )
