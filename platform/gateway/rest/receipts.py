"""Signed receipts: one, a page of them, or all of a time as lines; and the keys to check them with."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Literal

from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from gateway.errors import UnknownId
from gateway.rest import filters, pages, period
from gateway.rest.access import for_tenant, grant_of, in_thread, projects_seen
from gateway.rest.filters import End, Start
from gateway.rest.operations import operation, public_operation
from metering.models import Receipt as Row
from metering.receipts import keys
from metering.receipts.shown import shown
from tenants.access import KeyGrant, Scope

router = Router(tags=["receipts"])

JSONL = "application/jsonl"
AT_ONCE = 500  # lines that are read together

Limit = Annotated[int, Query(ge=1, le=pages.MOST, description="The most receipts to answer with.")]
After = Annotated[str | None, Query(description=pages.CURSOR_MEANS)]
Format = Annotated[
    Literal["json", "jsonl"],
    Query(description="`jsonl`: all of them, oldest first, one a line, however many; no pages."),
]


class Receipt(Schema):
    body: str = Field(description="The text that was signed: JSON. See docs/receipts.md for what it says.")
    key: str = Field(description="The name of the key that signed it.", examples=["2026-11"])
    signature: str = Field(description="Ed25519, of the body in UTF-8; base64url without padding.")
    hash: str = Field(
        description="SHA-256 of the body, in hex. The tenant's next receipt has it in its body."
    )


class Receipts(Schema):
    receipts: list[Receipt]
    next_cursor: str | None = Field(description=pages.NEXT_CURSOR_MEANS)


class PublicKey(Schema):
    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    use: Literal["sig"]
    kid: str = Field(description="Its name.", examples=["2026-11"])
    x: str = Field(description="The public key, base64url without padding.")
    first_seen_at: datetime
    retired_at: datetime | None = Field(description="When another one took its place. It stays good.")


class PublicKeys(Schema):
    keys: list[PublicKey] = Field(description="Of all times, oldest first.")


# Before the address of one receipt, which would take `keys` for an id.
@router.get("/receipts/keys", **public_operation(PublicKeys), summary="List the keys that sign receipts")
async def list_receipt_keys(request: HttpRequest) -> PublicKeys:
    """Their public halves, as RFC 8037 writes them. Anybody may ask, without an API key."""
    return PublicKeys.model_validate({"keys": await in_thread(keys.published)})


@router.get(
    "/receipts",
    **operation(Scope.USAGE_READ, Receipts, media=(JSONL,)),
    summary="List receipts",
)
async def list_receipts(
    request: HttpRequest,
    start: Start = None,
    end: End = None,
    format: Format = "json",
    limit: Limit = pages.USUAL,
    cursor: After = None,
) -> Receipts | StreamingHttpResponse:
    """Newest first, by when they were issued: those of the key's project, with `billing:read` those of its
    tenant. A stream whose bill was corrected has more than one; the last counts."""
    grant = grant_of(request)
    times = {
        "issued_at__gte": period.moment("start", start) if start else None,
        "issued_at__lt": period.moment("end", end, last=True) if end else None,
    }
    wanted = {name: value for name, value in times.items() if value is not None}
    if format == "jsonl":
        lines = _lines(grant, wanted)
        # Before anything is answered, so that a refusal is one.
        first = await anext(lines, b"")
        answer = StreamingHttpResponse(_with(first, lines), content_type=JSONL)
        answer["Content-Disposition"] = 'attachment; filename="receipts.jsonl"'
        return answer

    def read() -> Receipts:
        found, following = pages.page(
            _rows(grant).filter(**wanted),
            of="receipts", at="issued_at", limit=limit, after=cursor, convert=int,
        )  # fmt: skip
        return Receipts(receipts=[Receipt(**shown(row)) for row in found], next_cursor=following)

    return await for_tenant(grant, read)


@router.get(
    "/receipts/{request_id}",
    **operation(Scope.USAGE_READ, Receipt, refused=(404,)),
    summary="Get the receipt of a stream",
)
async def get_receipt(request: HttpRequest, request_id: str) -> Receipt:
    """The last one, by the id of the request. It is there when a stream has ended, or some seconds later."""
    grant = grant_of(request)
    if not (len(request_id) <= filters.MAX_LENGTH and request_id.isprintable()):
        raise UnknownId()

    def read() -> Receipt:
        row = _rows(grant).filter(request_id=request_id).order_by("-revision").first()
        if row is None:
            raise UnknownId()
        return Receipt(**shown(row))

    return await for_tenant(grant, read)


async def _lines(grant: KeyGrant, wanted: dict[str, datetime]) -> AsyncIterator[bytes]:
    last = 0
    while True:

        def read(after: int = last) -> list[Row]:
            return list(_rows(grant).filter(number__gt=after, **wanted).order_by("number")[:AT_ONCE])

        rows = await for_tenant(grant, read)
        if rows:
            yield "".join(f"{json.dumps(shown(row), ensure_ascii=False)}\n" for row in rows).encode()
            last = rows[-1].number
        if len(rows) < AT_ONCE:
            return


async def _with(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in rest:
        yield part


def _rows(grant: KeyGrant) -> QuerySet[Row]:
    project_id = projects_seen(grant)
    return Row.objects.all() if project_id is None else Row.objects.filter(project_id=project_id)
