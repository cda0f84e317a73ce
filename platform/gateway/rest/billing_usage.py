"""Billed usage, split up by whatever is asked for."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import date, datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from gateway.errors import BadParameter, UnknownId
from gateway.rest import filters
from gateway.rest import period as times
from gateway.rest.access import for_tenant, grant_of, projects_seen, uuid_of
from gateway.rest.filters import End, Start
from gateway.rest.operations import operation
from metering import periods, usage_report
from metering.invoices.export import harmless
from metering.ledger.accounts import account_of
from metering.reports import TooManyRows
from metering.usage_report import DIMENSIONS, Asked, Used
from tenants.access import Scope

router = Router(tags=["billing"])

CSV = "text/csv"
MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])\Z", re.ASCII)
_NAMES = ", ".join(DIMENSIONS)

Group = Annotated[
    str | None,
    Query(
        max_length=100,
        description=f"What to split by, with commas: {_NAMES}. Days are of the account's time zone, hours of "
        "UTC. A stream of two tags counts under each.",
        examples=["day,model"],
    ),
]
Month = Annotated[
    str | None,
    Query(
        pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$",
        description="A billing period, such as 2026-11: what its invoice has, to the millisecond. The "
        "current one, if neither this nor `start` is given.",
    ),
]
Text = Annotated[str | None, Query(min_length=1, max_length=filters.MAX_LENGTH)]
Id = Annotated[str | None, Query(max_length=36, description="Only of this one.")]
Format = Annotated[Literal["json", "csv"], Query()]


class UsedPart(Schema):
    group: dict[str, str] = Field(description="A value for each name in `group`; empty: there is none.")
    ms: int = Field(description="Milliseconds of processed audio, of all channels, less corrections.")
    amount: str = Field(description="What they cost, exactly.", examples=["0.005900"])
    waived: str = Field(description="What they would have cost more, had no cap been reached.")


class BilledUsage(Schema):
    period: str | None = Field(description="The billing period that was asked for.", examples=["2026-11"])
    start: datetime | None
    end: datetime | None
    time_zone: str
    currency: str
    ms: int
    amount: str
    waived: str
    results: list[UsedPart]


@router.get(
    "/billing/usage",
    **operation(Scope.USAGE_READ, BilledUsage, media=(CSV,)),
    summary="Add up billed usage",
)
async def get_billed_usage(
    request: HttpRequest,
    group: Group = None,
    period: Month = None,
    start: Start = None,
    end: End = None,
    project: Id = None,
    key: Id = None,
    tag: Text = None,
    model: Text = None,
    kind: Annotated[Literal["live", "recorded"] | None, Query()] = None,
    region: Text = None,
    format: Format = "json",
) -> BilledUsage | HttpResponse:
    """What the ledger says: of the key's project, with `billing:read` of its tenant. At most 10,000 rows."""
    grant = grant_of(request)
    names = _names(group)
    month, since, until = _when(period, start, end)
    wanted: dict[str, Any] = {
        "project": _id("project", project),
        "key": _id("key", key),
        "tag": filters.text("tag", tag),
        "model": filters.text("model", model),
        "kind": kind,
        "region": filters.text("region", region),
    }
    own = projects_seen(grant)

    def read() -> tuple[Asked, str, list[Used], Used]:
        account = account_of(grant.tenant_id)
        asked = Asked(
            tenant_id=grant.tenant_id,
            zone=account.time_zone,
            period=month,
            start=since,
            end=until,
            group=names,
            filters={name: value for name, value in wanted.items() if value is not None},
        )
        if month is None and since is None:
            now = periods.period_of(timezone.now(), account.time_zone)
            asked = replace(asked, period=now.first_day)
        if own is not None:
            # Whoever asks for another project than its own finds nothing there.
            other = wanted["project"] not in (None, own)
            if other:
                return asked, account.currency, [], Used({}, 0, usage_report.ZERO, usage_report.ZERO)
            asked = replace(asked, filters={**asked.filters, "project": own})
        [total] = usage_report.usage(replace(asked, group=()))
        return asked, account.currency, usage_report.usage(asked) if names else [], total

    try:
        asked, currency, rows, total = await for_tenant(grant, read)
    except TooManyRows:
        raise BadParameter(
            "group: these are more than 10000 rows. Ask for less time, or for fewer names."
        ) from None
    if format == "csv":
        return _csv(names, rows if names else [total], currency)
    return BilledUsage(
        period=asked.period.strftime("%Y-%m") if asked.period else None,
        start=asked.start,
        end=asked.end,
        time_zone=asked.zone,
        currency=currency,
        ms=total.ms,
        amount=_money(total.amount),
        waived=_money(total.waived),
        results=[
            UsedPart(group=dict(row.group), ms=row.ms, amount=_money(row.amount), waived=_money(row.waived))
            for row in rows
        ],
    )


def _names(group: str | None) -> tuple[str, ...]:
    names = tuple(part.strip() for part in group.split(",")) if group else ()
    if len(set(names)) < len(names) or not set(names) <= DIMENSIONS.keys():
        raise BadParameter(f"group: allowed are {_NAMES}, each once, with commas between them.")
    return names


def _when(
    period: str | None, start: str | None, end: str | None
) -> tuple[date | None, datetime | None, datetime | None]:
    if period is not None and (start or end):
        raise BadParameter("period, start: give one of the two.")
    if period is not None:
        if not MONTH.match(period) or period < "0002":
            raise BadParameter("period: allowed is a month, such as 2026-11.")
        return date.fromisoformat(f"{period}-01"), None, None
    if start or end:
        found = times.bounded(start, end, now=timezone.now())
        return None, found.start, found.end
    return None, None, None


def _id(name: str, value: str | None) -> Any:
    if value is None:
        return None
    try:
        return uuid_of(value)
    except UnknownId:
        raise BadParameter(f"{name}: allowed is an id, a UUID.") from None


def _csv(names: tuple[str, ...], rows: list[Used], currency: str) -> HttpResponse:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*names, "ms", "amount", "waived", "currency"])
    for row in rows:
        values = [harmless(row.group[name]) for name in names]
        writer.writerow([*values, row.ms, _money(row.amount), _money(row.waived), currency])
    answer = HttpResponse(out.getvalue(), content_type=f"{CSV}; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="usage.csv"'
    return answer


def _money(amount: Any) -> str:
    return f"{amount:.6f}"
