"""Draft, finalise, credit and render invoices."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from metering.invoices import CreditLine, credit_note, finalise
from metering.invoices.errors import PeriodMalformed
from metering.invoices.output import SUFFIXES, pieces
from metering.invoices.read import drafted, streams_of
from metering.invoices.render_pdf import PAPERS
from metering.ledger.errors import BillingError
from metering.models import Invoice
from tenants.models import Tenant
from tenants.scope import staff_scope


class Command(BaseCommand):
    help = (
        "Invoices. A draft may be looked at at any time. A period can be made final 48 hours after its end, "
        "and from its end on with --force. A credit note corrects a final invoice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        does = parser.add_subparsers(dest="what", required=True)
        preview = does.add_parser("draft", help="Show what the invoice of a period would say now.")
        final = does.add_parser("finalise", help="Make the invoice of a period final.")
        for one in (preview, final):
            one.add_argument("--tenant", required=True, metavar="SLUG")
            one.add_argument("--period", required=True, metavar="2026-11", help="A month.")
        final.add_argument(
            "--force",
            action="store_true",
            help="Do not wait 48 hours for what comes late; it is then in the next invoice.",
        )
        credit = does.add_parser("credit", help="Give back what a final invoice asked for, or a part of it.")
        credit.add_argument("--reason", required=True, help="Why; it stands on the credit note.")
        credit.add_argument(
            "--line",
            action="append",
            metavar="AMOUNT=TEXT",
            help="An amount to give back and what for; may be repeated. Without it: all that is left.",
        )
        render = does.add_parser("render", help="Write a final invoice or a credit note to a file.")
        for one in (credit, render):
            one.add_argument("--number", required=True, metavar="2026-000123")
        for one in (preview, final, credit, render):
            one.add_argument(
                "--out", type=Path, metavar="FILE", help=f"Write it there, as its suffix says: {SUFFIXES}."
            )
            one.add_argument("--paper", choices=sorted(PAPERS), default="a4", help="Of a PDF.")

    def handle(self, *args: Any, **options: Any) -> None:
        out: Path | None = options["out"]
        if out is not None and out.suffix not in SUFFIXES.split(", "):
            raise CommandError(f"{out} says no format. Let its name end in one of {SUFFIXES}.")
        try:
            document, streams = getattr(self, f"_{options['what']}")(options)
        except BillingError as error:
            raise CommandError(str(error)) from error
        # Before anything is written: whoever cannot have the file must not make a second credit note for it.
        self.stdout.write(_said(document))
        if out is not None:
            self._write(out, document, streams, options["paper"])
            self.stdout.write(f"Written to {out}.")

    def _draft(self, options: dict[str, Any]) -> Any:
        return drafted(_tenant(options["tenant"]), _period(options["period"]))

    def _finalise(self, options: dict[str, Any]) -> Any:
        tenant, period = _tenant(options["tenant"]), _period(options["period"])
        invoice = finalise(tenant, period, force=options["force"])
        return invoice.document, streams_of(invoice)

    def _credit(self, options: dict[str, Any]) -> Any:
        lines = [_line(text) for text in options["line"]] if options["line"] else None
        note = credit_note(_invoice(options["number"]), lines, options["reason"])
        return note.document, ()

    def _render(self, options: dict[str, Any]) -> Any:
        invoice = _invoice(options["number"])
        return invoice.document, streams_of(invoice)

    def _write(self, out: Path, document: dict[str, Any], streams: Iterable[Any], paper: str) -> None:
        try:
            with out.open("wb") as file:
                for piece in pieces(out.suffix, document, streams, paper):
                    file.write(piece)
        except OSError as error:
            number = document["number"]
            again = f" {number} is made all the same: invoice render --number {number}" if number else ""
            raise CommandError(f"{out} cannot be written: {error.strerror}.{again}") from error


def _said(document: dict[str, Any]) -> str:
    name = f"{document['kind'].replace('_', ' ').capitalize()} {document['number'] or '(draft)'}"
    first = document["period"]["first_day"][:7]
    account = document["customer"]["account"]
    return f"{name} of {account} for {first}: {document['currency']} {document['total']}."


def _tenant(slug: str) -> UUID:
    with staff_scope():
        found = Tenant.objects.filter(slug=slug).values_list("id", flat=True).first()
    if found is None:
        raise CommandError(f"There is no tenant {slug!r}.")
    return found


def _period(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise PeriodMalformed(f"{text!r} is no month. {PeriodMalformed()}") from None


def _invoice(number: str) -> Invoice:
    with staff_scope():
        found = Invoice.objects.filter(number=number).first()
    if found is None:
        raise CommandError(f"There is no invoice {number!r}.")
    return found


def _line(text: str) -> CreditLine:
    amount, _, description = text.partition("=")
    try:
        if description.strip():
            return CreditLine(description.strip(), Decimal(amount.strip()))
        raise InvalidOperation
    except InvalidOperation:
        raise CommandError(f"{text!r} is no line. Write it as 12.50=What it is for.") from None
