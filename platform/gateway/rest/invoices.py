"""Invoices and credit notes: listed, and each as JSON, HTML, PDF or CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from gateway.errors import UnknownId
from gateway.rest import pages
from gateway.rest.access import for_tenant, grant_of
from gateway.rest.operations import operation
from metering import periods
from metering.invoices.output import TYPES, pieces
from metering.invoices.read import drafted, streams_of
from metering.ledger.accounts import account_of
from metering.models import Invoice as Row
from tenants.access import KeyGrant, Scope

router = Router(tags=["billing"])

CURRENT = "current"
AT_ONCE = 500  # lines that are written together
MEDIA = tuple(kind.partition(";")[0] for suffix, kind in TYPES.items() if suffix != ".json")

Limit = Annotated[int, Query(ge=1, le=pages.MOST, description="The most invoices to answer with.")]
After = Annotated[str | None, Query(description=pages.CURSOR_MEANS)]


class ListedInvoice(Schema):
    number: str = Field(examples=["2026-000123"])
    kind: Literal["invoice", "credit_note"]
    period: str = Field(examples=["2026-11"])
    starts_at: datetime
    ends_at: datetime
    currency: str
    ms: int
    total: str
    corrects: str | None = Field(description="Of a credit note: the number of the invoice.")
    final_at: datetime


class Invoices(Schema):
    invoices: list[ListedInvoice]
    next_cursor: str | None = Field(description=pages.NEXT_CURSOR_MEANS)


class Document(Schema):
    """All that an invoice says. What its fields are: metering/invoices/README.md."""

    v: int
    kind: Literal["invoice", "credit_note"]
    state: Literal["draft", "final"]
    number: str
    currency: str
    total: str
    period: dict[str, Any]
    lines: list[dict[str, Any]]


@router.get("/billing/invoices", **operation(Scope.BILLING_READ, Invoices), summary="List invoices")
async def list_invoices(request: HttpRequest, limit: Limit = pages.USUAL, cursor: After = None) -> Invoices:
    """Of the key's tenant, newest first, with credit notes. What is listed is final."""

    def read() -> Invoices:
        found, following = pages.page(
            Row.objects.select_related("corrects").defer("document", "corrects__document"),
            of="invoices", at="final_at", limit=limit, after=cursor, convert=UUID,
        )  # fmt: skip
        return Invoices(invoices=[_listed(row) for row in found], next_cursor=following)

    return await for_tenant(grant_of(request), read)


@router.get(
    "/billing/invoices/{number}",
    **operation(Scope.BILLING_READ, Document, refused=(404,), media=MEDIA),
    summary="Get an invoice",
)
async def get_invoice(request: HttpRequest, number: str) -> StreamingHttpResponse:
    """By its number, with `.json` (the same as without), `.html`, `.pdf` or `.csv` after it. `current` is the
    draft of the current billing period."""
    grant = grant_of(request)
    name, suffix = _named(number)

    def read() -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
        if name == CURRENT:
            account = account_of(grant.tenant_id)
            first_day = periods.period_of(timezone.now(), account.time_zone).first_day
            return drafted(grant.tenant_id, first_day)
        row = Row.objects.filter(number=name).first() if len(name) <= 32 and name.isprintable() else None
        if row is None:
            raise UnknownId()
        return row.document, streams_of(row)

    document, streams = await for_tenant(grant, read)
    # A PDF takes a moment, and many streams take many: nothing of it is done on the event loop.
    parts = pieces(suffix, document, streams)
    first = await for_tenant(grant, _some, parts)
    answer = StreamingHttpResponse(_all(grant, first, parts), content_type=TYPES[suffix])
    shown = document["number"] or f"draft-{document['period']['first_day'][:7]}"
    answer["Content-Disposition"] = f'inline; filename="{shown}{suffix}"'
    return answer


async def _all(grant: KeyGrant, first: bytes, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    part = first
    while part:
        yield part
        part = await for_tenant(grant, _some, parts)


def _some(parts: Iterator[bytes]) -> bytes:
    return b"".join(islice(parts, AT_ONCE))


def _named(number: str) -> tuple[str, str]:
    for suffix in TYPES:
        if number.endswith(suffix):
            return number.removesuffix(suffix), suffix
    return number, ".json"


def _listed(row: Row) -> ListedInvoice:
    return ListedInvoice.model_validate({
        "number": row.number,
        "kind": row.kind,
        "period": row.period.strftime("%Y-%m"),
        "starts_at": row.starts_at,
        "ends_at": row.ends_at,
        "currency": row.currency,
        "ms": row.ms,
        "total": str(row.total),
        "corrects": row.corrects.number if row.corrects else None,
        "final_at": row.final_at,
    })  # fmt: skip
