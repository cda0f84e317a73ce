"""What was processed, by day, and split up by key, model, method or tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from gateway import catalogue, process
from gateway.errors import BadParameter
from gateway.rest import filters, period
from gateway.rest.access import for_tenant, grant_of, project_of
from gateway.rest.filters import Accessor, Deployment, End, Endpoint, Method, Model, Start, Tag
from gateway.rest.operations import operation
from gateway.rest.period import Period
from metering import reports
from metering.reports import TooManyRows, Used, Wanted
from tenants.access import KeyGrant, Scope

router = Router(tags=["usage"])

MS_PER_HOUR = 3_600_000
# Deepgram's names for what can be split by, and ours for the column. None: it is the same for everything.
GROUPINGS: dict[str, str | None] = {
    "accessor": "key",
    "models": "model",
    "model": "model",
    "method": "kind",
    "tags": "tags",
    "endpoint": None,
    "deployment": None,
}
Grouping = Annotated[
    Literal["accessor", "endpoint", "models", "model", "method", "tags", "deployment"] | None,
    Query(description="What to split each day's usage by."),
]


class Resolution(Schema):
    units: Literal["day"]
    amount: Literal[1]


class DayOfUsage(Schema):
    start: str = Field(examples=["2026-01-31"])
    end: str = Field(examples=["2026-01-31"])
    hours: float = Field(description="Of audio, however many channels it had.")
    total_hours: float = Field(description="Of all channels: what is billed.")
    requests: int = Field(description="Streams that began on this day and have ended.")
    billed_seconds: float = Field(description="The same as `total_hours`, to the millisecond.")


class Usage(Schema):
    start: str
    end: str
    resolution: Resolution
    results: list[DayOfUsage] = Field(description="Days (UTC) without usage are left out.")


class Group(Schema):
    start: str
    end: str
    accessor: str | None
    endpoint: str | None
    feature_set: str | None
    models: list[str] | None
    method: str | None
    tags: list[str] | None
    deployment: str | None


class PartOfUsage(Schema):
    hours: float
    total_hours: float
    agent_hours: Literal[0]
    tokens_in: Literal[0]
    tokens_out: Literal[0]
    tts_characters: Literal[0]
    requests: int
    billed_seconds: float
    grouping: Group = Field(description="The day, and what the day was split by.")


class Breakdown(Schema):
    start: str
    end: str
    resolution: Resolution
    results: list[PartOfUsage]


class UsedModel(Schema):
    name: str
    language: str
    version: str
    model_id: str


class UsageFields(Schema):
    tags: list[str]
    models: list[UsedModel]
    processing_methods: list[str]
    features: list[str] = Field(description="Always empty: usage is not kept by them.")


DAY = Resolution(units="day", amount=1)


@router.get(
    "/projects/{project_id}/usage",
    **operation(Scope.USAGE_READ, Usage, refused=(404,)),
    summary="Add up the usage of a project",
)
async def get_usage(
    request: HttpRequest,
    project_id: str,
    start: Start = None,
    end: End = None,
    accessor: Accessor = None,
    tag: Tag = None,
    model: Model = None,
    method: Method = None,
    endpoint: Endpoint = None,
    deployment: Deployment = None,
) -> Usage:
    """By day, at most 366 of them; the last 31 if `start` is not given.

    Audio counts on the day on which it was processed, less what was taken back of it: what the ledger says
    and the invoice bills, to the millisecond.
    """
    asked = _Asked(request, project_id, start, end, accessor, tag, model, method, endpoint, deployment)
    found = await asked.answer(lambda wanted: reports.usage(wanted), [])
    results = [
        DayOfUsage(start=used.day.isoformat(), end=used.day.isoformat(), **_hours(used)) for used in found
    ]
    return Usage(start=asked.period.first_day, end=asked.period.last_day, resolution=DAY, results=results)


@router.get(
    "/projects/{project_id}/usage/breakdown",
    **operation(Scope.USAGE_READ, Breakdown, refused=(404,)),
    summary="Split up the usage of a project",
)
async def get_breakdown(
    request: HttpRequest,
    project_id: str,
    grouping: Grouping = None,
    start: Start = None,
    end: End = None,
    accessor: Accessor = None,
    tag: Tag = None,
    model: Model = None,
    method: Method = None,
    endpoint: Endpoint = None,
    deployment: Deployment = None,
) -> Breakdown:
    """As the usage of a project, with each day split up by `grouping`."""
    asked = _Asked(request, project_id, start, end, accessor, tag, model, method, endpoint, deployment)
    column = GROUPINGS[grouping] if grouping else None
    found = await asked.answer(lambda wanted: reports.usage(wanted, column), [])
    results = [
        PartOfUsage(
            agent_hours=0, tokens_in=0, tokens_out=0, tts_characters=0,
            grouping=_group(grouping, used), **_hours(used),
        )
        for used in found
    ]  # fmt: skip
    return Breakdown(start=asked.period.first_day, end=asked.period.last_day, resolution=DAY, results=results)


@router.get(
    "/projects/{project_id}/usage/fields",
    **operation(Scope.USAGE_READ, UsageFields, refused=(404,)),
    summary="List what usage can be filtered by",
)
async def get_fields(
    request: HttpRequest, project_id: str, start: Start = None, end: End = None
) -> UsageFields:
    """Tags, models and methods of the requests that began in this time and have ended."""
    asked = _Asked(request, project_id, start, end)
    found = await asked.answer(reports.fields, reports.Fields([], [], []))
    return UsageFields(
        tags=found.tags,
        models=[
            UsedModel(name=name, language=language, version=version, model_id=catalogue.uuid_of(name))
            for name, language, version in found.models
        ],
        processing_methods=[filters.METHOD_OF[kind] for kind in found.kinds],
        features=[],
    )


class _Asked:
    """What a report is asked about. Raises what is wrong with it before the database is asked."""

    def __init__(
        self,
        request: HttpRequest,
        project_id: str,
        start: str | None,
        end: str | None,
        accessor: str | None = None,
        tag: str | None = None,
        model: str | None = None,
        method: str | None = None,
        endpoint: str | None = None,
        deployment: str | None = None,
    ) -> None:
        filters.refuse_what_is_not_kept(request.GET)
        self.grant: KeyGrant = grant_of(request)
        self.project_id = project_id
        self.period: Period = period.bounded(start, end, now=timezone.now())
        self.nothing = filters.nothing(method, endpoint, deployment)
        self.filters: dict[str, Any] = {
            "key_id": filters.key_id(accessor),
            "tag": filters.text("tag", tag),
            "model": _model_name(filters.text("model", model)),
            "kind": filters.METHODS.get(method or ""),
        }

    async def answer(self, report: Callable[[Wanted], Any], empty: Any) -> Any:
        def read() -> Any:
            project = project_of(self.grant, self.project_id)
            if self.nothing:
                return empty
            return report(Wanted(project.id, self.period.start, self.period.end, **self.filters))

        try:
            return await for_tenant(self.grant, read)
        except TooManyRows:
            raise BadParameter("start, end: so many parts are no report. Ask for fewer days.") from None


def _model_name(asked: str | None) -> str | None:
    known = catalogue.find(catalogue.models(process.current().link.pool.all()), asked) if asked else None
    return known.name if known else asked


def _hours(used: Used) -> dict[str, Any]:
    return {
        "hours": round(used.audio_ms / MS_PER_HOUR, 9),
        "total_hours": round(used.billed_ms / MS_PER_HOUR, 9),
        "billed_seconds": used.billed_ms / 1000,
        "requests": used.requests,
    }


def _group(grouping: str | None, used: Used) -> Group:
    day = used.day.isoformat()
    return Group(
        start=day,
        end=day,
        accessor=str(used.group) if grouping == "accessor" else None,
        endpoint=filters.ENDPOINT if grouping == "endpoint" else None,
        feature_set=None,
        models=[used.group] if grouping in ("models", "model") else None,
        method=filters.METHOD_OF[used.group] if grouping == "method" else None,
        tags=list(used.group) if grouping == "tags" else None,
        deployment=filters.DEPLOYMENT if grouping == "deployment" else None,
    )
