"""Reports over a real PostgreSQL: what is added up, and that an index finds it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from metering import reports
from metering.models import UsageEvent
from metering.reports import Used, Wanted
from metering.tasks import record_requests, record_usage
from metering.tests.test_tasks import event, request
from tenants.scope import tenant_scope


def wanted(household: Any, **changes: Any) -> Wanted:
    now = timezone.now()
    return Wanted(household.project.id, now - timedelta(days=1), now + timedelta(days=1), **changes)


def used(household: Any, group: str | None = None, **changes: Any) -> list[Used]:
    with tenant_scope(household.tenant.id):
        return reports.usage(wanted(household, **changes), group)


def test_channels_are_billed_each_and_heard_once(acme: Any, rival: Any) -> None:
    record_usage([
        event(acme, 0, 1000, stream="a"),
        *(event(acme, 0, 2000, stream=f"b.{channel}") for channel in range(12)),
        event(rival, 0, 9000, stream="c"),
    ])  # fmt: skip
    [day] = used(acme)
    assert (day.audio_ms, day.billed_ms, day.requests) == (3000, 25_000, 0)


def test_a_day_with_requests_and_no_audio_is_a_day(acme: Any) -> None:
    now = timezone.now().isoformat()
    record_requests([request(acme, "a", started_at=now, ended_at=now, audio_ms=0, billed_ms=0)])
    [day] = used(acme)
    assert (day.audio_ms, day.billed_ms, day.requests) == (0, 0, 1)


def test_a_moment_belongs_to_one_period(acme: Any) -> None:
    record_usage([event(acme)])
    with tenant_scope(acme.tenant.id):
        at = UsageEvent.objects.get().recorded_at
        before = Wanted(acme.project.id, at - timedelta(hours=1), at)
        after = Wanted(acme.project.id, at, at + timedelta(hours=1))
        assert (len(reports.usage(before)), len(reports.usage(after))) == (0, 1)


def test_days_are_of_utc(acme: Any) -> None:
    late = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
    record_requests([request(acme, "a", started_at=late.isoformat())])
    with tenant_scope(acme.tenant.id), timezone.override("Asia/Tokyo"):
        found = reports.usage(Wanted(acme.project.id, late, late + timedelta(hours=1)))
    assert [day.day.isoformat() for day in found] == ["2026-01-31"]


def test_more_groups_than_anybody_reads(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_ROWS", 2)
    record_usage([event(acme, stream=f"s{n}", model=f"m{n}") for n in range(3)])
    assert len(used(acme)) == 1
    with pytest.raises(reports.TooManyRows):
        used(acme, "model")


def test_fields_name_what_was_asked_for(acme: Any) -> None:
    now = timezone.now().isoformat()
    record_requests([
        request(acme, "a", started_at=now, tags=["x", "y"]),
        request(acme, "b", started_at=now, tags=[], model="n", kind="recorded", language="de"),
    ])  # fmt: skip
    with tenant_scope(acme.tenant.id):
        found = reports.fields(wanted(acme))
    assert found.tags == ["x", "y"]
    assert found.models == [("m", "en", "1"), ("n", "de", "1")]
    assert found.kinds == ["live", "recorded"]


def test_an_index_finds_a_projects_month_among_many(acme: Any) -> None:
    """Of 20,000 events in a year of another project, a report on a month of ours reads its own few."""
    with tenant_scope(acme.tenant.id):
        with connection.cursor() as cursor:
            fill = """
                INSERT INTO metering_usageevent (tenant_id, project_id, key_id, event_id, stream, from_ms,
                    to_ms, kind, model, region, worker, tags, recorded_at)
                SELECT %s, %s, %s, %s || n, %s || n, 0, 1000, 'live', 'm', 'r', 'w', '{}',
                    now() - n * interval '1 day' / %s FROM generate_series(1, %s) n"""
            ids = [acme.tenant.id, uuid.uuid4(), uuid.uuid4()]
            cursor.execute(fill, [*ids, "o:", "o", 55, 20_000])
            cursor.execute(fill, [ids[0], acme.project.id, ids[2], "m:", "m", 5, 200])
            # As the schema's owner does: the application may not.
            cursor.execute("RESET ROLE")
            cursor.execute("ANALYZE metering_usageevent")
            cursor.execute("SELECT set_config('role', 'stenogate_app', true)")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            [*_] = reports.usage(wanted(acme))
        sql = next(query["sql"] for query in queries if "metering_usageevent" in query["sql"])
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "usage_event_of_project" in plan
    assert "Seq Scan" not in plan


def test_an_index_finds_the_next_page_of_requests(acme: Any) -> None:
    with tenant_scope(acme.tenant.id):
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO metering_request (tenant_id, project_id, key_id, request_id, kind, path,
                    started_at, ended_at, outcome, status, audio_ms, billed_ms, channels, model, version,
                    language, region, worker, tags, recorded_at)
                SELECT %s, CASE WHEN n %% 50 = 0 THEN %s ELSE %s END, %s, 'r' || n, 'live', '/v1/listen',
                    now() - n * interval '1 minute', now(), 'done', 200, 1, 1, 1, 'm', '', '', 'r', 'w', '{}',
                    now()
                FROM generate_series(1, 20000) n""",
                [acme.tenant.id, acme.project.id, uuid.uuid4(), acme.key.id],
            )
            cursor.execute("RESET ROLE")
            cursor.execute("ANALYZE metering_request")
            cursor.execute("SELECT set_config('role', 'stenogate_app', true)")
        at = timezone.now() - timedelta(days=7)
        rows = reports.requests(acme.project.id).filter(started_at__lte=at)[:11]
        plan = rows.explain()
    assert "request_of_project" in plan
    assert "Sort" not in plan
