"""Reads what a document is made of. Inside the tenant's scope, but for `draft`, which opens it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from config import env
from metering import periods
from metering.invoices.document import Document, Facts, Final, Priced, build, stream_lines
from metering.invoices.errors import PeriodMalformed
from metering.invoices.lines import Problem
from metering.invoices.tally import Tally, tally
from metering.ledger import rows
from metering.ledger.accounts import account_of
from metering.models import Account, Invoice, Price
from metering.periods import Period
from metering.rating import PriceLine, Tier
from tenants.models import Project, Tenant
from tenants.scope import tenant_scope

MAX_ADDRESS_LINES = 12


def draft(tenant_id: UUID, first_day: date) -> Document:
    """What the invoice of this period would say now."""
    return drafted(tenant_id, first_day)[0]


def drafted(tenant_id: UUID, first_day: date) -> tuple[Document, Iterator[Document]]:
    """The same, and all its stream lines, however many they are."""
    with tenant_scope(tenant_id):
        account = account_of(tenant_id)
        period = period_named(first_day, account.time_zone)
        found = tally_of(account, period)
        return document_of(account, period, found)[0], stream_lines(found)


def streams_of(invoice: Invoice) -> Iterator[Document]:
    """All stream lines of a final invoice, from its document, or from the ledger where it lists none. The
    period of a final invoice gets no more entries, and those it has never change."""
    document = invoice.document
    if document.get("streams_listed", True):
        yield from document.get("streams", ())
        return
    with tenant_scope(invoice.tenant_id):
        zone = ZoneInfo(document["period"]["time_zone"])
        found = tally(rows.stream(invoice.tenant_id, period=invoice.period), invoice.starts_at, zone)
    yield from stream_lines(found)


def period_named(first_day: date, time_zone: str) -> Period:
    if first_day.day != 1 or not 2 <= first_day.year <= 9998:  # near its ends the calendar has no next month
        raise PeriodMalformed()
    return periods.of_month(first_day, time_zone)


def tally_of(account: Account, period: Period) -> Tally:
    entries = rows.stream(account.tenant_id, period=period.first_day)
    return tally(entries, period.starts_at, ZoneInfo(account.time_zone))


def document_of(
    account: Account, period: Period, found: Tally, final: Final | None = None
) -> tuple[Document, list[Problem]]:
    return build(found, facts_of(account, period, found), final)


def facts_of(account: Account, period: Period, found: Tally) -> Facts:
    projects = Project.objects.filter(id__in=[id for id in found.summaries["projects"] if id])
    return Facts(
        seller=_seller(),
        customer=_customer(account),
        mode=account.mode,
        currency=account.currency,
        time_zone=account.time_zone,
        first_day=period.first_day,
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        projects={str(project.id): project.name for project in projects},
        prices=_prices(found),
    )


def today(account: Account, now: datetime) -> date:
    return now.astimezone(ZoneInfo(account.time_zone)).date()


def _seller() -> dict[str, object]:
    name, *lines = [part.strip() for part in env.SELLER.read().split(",")]
    return {"name": name, "lines": [line for line in lines if line]}


def _customer(account: Account) -> dict[str, object]:
    tenant = Tenant.objects.get(id=account.tenant_id)
    address = [line.strip() for line in account.address.splitlines() if line.strip()]
    return {
        "legal_name": account.legal_name or tenant.name,
        "address": address[:MAX_ADDRESS_LINES],
        "tax_id": account.tax_id,
        "email": account.email,
        "account": tenant.slug,
        "tenant": str(tenant.id),
    }


def _prices(found: Tally) -> dict[UUID, Priced]:
    """By plan, version and label: the order of the invoice's lines."""
    used = {stream.first.price_id for stream in found.streams.values()} | set(found.minimums)
    prices = Price.objects.filter(id__in=[id for id in used if id]).select_related("version__plan")
    ordered = prices.order_by("version__effective_from", "version__number", "label", "id")
    return {row.id: _priced(row) for row in ordered}


def _priced(row: Price) -> Priced:
    tiers = tuple(Tier(tier["up_to_ms"], Decimal(tier["per_minute"])) for tier in row.tiers)
    line = PriceLine(row.id, row.label, row.model, row.kind, row.region, row.included_ms, tiers)
    version = row.version
    effective_from = version.effective_from.astimezone(UTC)
    return Priced(
        line, version.currency, version.plan.name, version.number, effective_from, version.minimum_ms
    )
