"""The request log: every stream that was accepted and has ended, live or recorded."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.db.models import QuerySet
from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from gateway.errors import BadParameter, UnknownId
from gateway.rest import filters, pages, period
from gateway.rest.access import for_tenant, grant_of, project_of
from gateway.rest.filters import Accessor, Deployment, End, Endpoint, Method, Start, Tag
from gateway.rest.operations import operation
from metering import reports
from metering.models import Request as Row
from tenants.access import Scope

router = Router(tags=["requests"])

USUAL, MOST = 10, 1000
MAX_SKIPPED = 10_000

Limit = Annotated[int, Query(ge=1, le=MOST, description="The most requests to answer with.")]
Page = Annotated[
    int | None,
    Query(ge=0, le=MAX_SKIPPED, description="From 0 on. New requests move the pages; with `cursor` not."),
]
After = Annotated[str | None, Query(description=pages.CURSOR_MEANS)]
Status = Annotated[
    Literal["succeeded", "failed"] | None, Query(description="Only those that ended well, or that did not.")
]
RequestId = Annotated[
    str | None,
    Query(min_length=1, max_length=filters.MAX_LENGTH, description="Only the request with this id."),
]


class Request(Schema):
    request_id: str
    project_uuid: str
    created: datetime
    completed: datetime
    path: str = Field(examples=["/v1/listen"])
    api_key_id: str
    code: int = Field(description="The HTTP status, or what would have been one.", examples=[200])
    outcome: str = Field(description="`done`, `client_left`, or the code of an error.", examples=["done"])
    deployment: Literal["self-hosted"]
    method: str = Field(description="`streaming` or `sync`.")
    callback: None
    response: dict[str, Any] = Field(
        description="`details` as Deepgram has them, and `message` if it failed. No transcript is kept."
    )
    audio_seconds: float
    billed_seconds: float = Field(description="Of all channels together.")
    channels: int
    model: str
    version: str
    language: str
    region: str
    worker: str
    tags: list[str]


class Requests(Schema):
    page: int
    limit: int
    requests: list[Request]
    next_cursor: str | None = Field(description=pages.NEXT_CURSOR_MEANS)


class OneRequest(Schema):
    request: Request


@router.get(
    "/projects/{project_id}/requests",
    **operation(Scope.USAGE_READ, Requests, refused=(404,)),
    summary="List the requests of a project",
)
async def list_requests(
    request: HttpRequest,
    project_id: str,
    start: Start = None,
    end: End = None,
    limit: Limit = USUAL,
    page: Page = None,
    cursor: After = None,
    accessor: Accessor = None,
    request_id: RequestId = None,
    tag: Tag = None,
    method: Method = None,
    status: Status = None,
    endpoint: Endpoint = None,
    deployment: Deployment = None,
) -> Requests:
    """Newest first: those that were accepted and have ended."""
    grant = grant_of(request)
    skipped = (page or 0) * limit
    if page is not None and cursor is not None:
        raise BadParameter("page, cursor: give one of the two.")
    if skipped > MAX_SKIPPED:
        raise BadParameter(f"page: past {MAX_SKIPPED} requests, go on with cursor.")
    exactly = {
        "started_at__gte": period.moment("start", start) if start else None,
        "started_at__lt": period.moment("end", end, last=True) if end else None,
        "key_id": filters.key_id(accessor),
        "request_id": filters.text("request_id", request_id),
        "kind": filters.METHODS.get(method or ""),
        "status__lt": 400 if status == "succeeded" else None,
        "status__gte": 400 if status == "failed" else None,
    }
    filters.text("tag", tag)

    def read() -> Requests:
        rows = reports.requests(project_of(grant, project_id).id)
        if filters.nothing(method, endpoint, deployment):
            rows = rows.none()
        rows = rows.filter(**{name: value for name, value in exactly.items() if value is not None})
        if tag is not None:
            rows = rows.filter(tags__contains=[tag])
        found, following = _page(rows, limit, skipped, cursor)
        return Requests(
            page=page or 0, limit=limit, requests=[_described(row) for row in found], next_cursor=following
        )

    return await for_tenant(grant, read)


@router.get(
    "/projects/{project_id}/requests/{request_id}",
    **operation(Scope.USAGE_READ, OneRequest, refused=(404,)),
    summary="Get a request",
)
async def get_request(request: HttpRequest, project_id: str, request_id: str) -> OneRequest:
    """By the id that its results and the header dg-request-id say, once it has ended."""
    grant = grant_of(request)

    def read() -> OneRequest:
        rows = reports.requests(project_of(grant, project_id).id)
        row = rows.filter(request_id=request_id).first() if request_id.isprintable() else None
        if row is None:
            raise UnknownId()
        return OneRequest(request=_described(row))

    return await for_tenant(grant, read)


def _page(rows: QuerySet[Row], limit: int, skipped: int, cursor: str | None) -> tuple[list[Row], str | None]:
    if skipped:
        # A page by number goes on by cursor too: its first row is where the cursor of the one before ends.
        last = list(rows[skipped - 1 : skipped])
        if not last:
            return [], None
        cursor = pages.cursor_after(last[0], of="requests", at="started_at")
    return pages.page(rows, of="requests", at="started_at", limit=limit, after=cursor, convert=int)


def _described(row: Row) -> Request:
    audio_s = row.audio_ms / 1000
    method = filters.METHOD_OF[row.kind]
    details = {
        "duration": audio_s,
        "total_audio": row.billed_ms / 1000,
        "channels": row.channels,
        "streams": 1,
        "models": [row.model],
        "method": method,
        "tags": row.tags,
        "features": [],
        "config": {},
    }
    failed = {"message": row.outcome} if row.status >= 400 else {}
    return Request(
        request_id=row.request_id,
        project_uuid=str(row.project_id),
        created=row.started_at,
        completed=row.ended_at,
        path=row.path,
        api_key_id=str(row.key_id),
        code=row.status,
        outcome=row.outcome,
        deployment="self-hosted",
        method=method,
        callback=None,
        response={"details": details, **failed},
        audio_seconds=audio_s,
        billed_seconds=row.billed_ms / 1000,
        channels=row.channels,
        model=row.model,
        version=row.version,
        language=row.language,
        region=row.region,
        worker=row.worker,
        tags=row.tags,
    )
