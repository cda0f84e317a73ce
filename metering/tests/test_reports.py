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
from metering.ledger.append import NewEntry, append
from metering.ledger.post import post_due
from metering.models import LedgerEntry
from metering.models.ledger import EntryKind
from metering.reports import Used, Wanted
from metering.tasks import record_requests, record_usage
from metering.tests.test_tasks import event, request
from tenants.scope import tenant_scope


def wanted(household: Any, **changes: Any) -> Wanted:
    now = timezone.now()
    return Wanted(household.project.id, now - timedelta(days=1), now + timedelta(days=1), **changes)


def meter(*events: dict[str, Any]) -> None:
    """Recorded and posted."""
    record_usage(list(events))  # at one moment, so on one day
    post_due()


def used(household: Any, group: str | None = None, **changes: Any) -> list[Used]:
    with tenant_scope(household.tenant.id):
        return reports.usage(wanted(household, **changes), group)


def test_channels_are_billed_each_and_heard_once(acme: Any, rival: Any) -> None:
    meter(
        event(acme, 0, 1000, stream="a"),
        *(event(acme, 0, 2000, stream=f"b.{channel}") for channel in range(12)),
        event(rival, 0, 9000, stream="c"),
    )
    [day] = used(acme)
    assert (day.audio_ms, day.billed_ms, day.requests) == (3000, 25_000, 0)


def test_a_day_with_requests_and_no_audio_is_a_day(acme: Any) -> None:
    now = timezone.now().isoformat()
    record_requests([request(acme, "a", started_at=now, ended_at=now, audio_ms=0, billed_ms=0)])
    [day] = used(acme)
    assert (day.audio_ms, day.billed_ms, day.requests) == (0, 0, 1)


def test_what_was_taken_back_is_not_used_on_the_day_it_was_processed(acme: Any, rival: Any) -> None:
    meter(event(acme, 0, 5000, stream="a", kind="recorded"), event(rival, 0, 5000, stream="a"))
    correction = NewEntry(
        EntryKind.CORRECTION, "counted twice", "reconcile:a", ms=-2000, stream="a", from_ms=3000, to_ms=5000
    )
    append(acme.tenant.id, [correction])
    [day] = used(acme, "kind", kind="recorded")
    assert (day.audio_ms, day.billed_ms, day.group) == (3000, 3000, "recorded")
    assert [day.billed_ms for day in used(rival)] == [5000]


def test_what_is_not_posted_is_not_used_yet(acme: Any) -> None:
    record_usage([event(acme)])
    assert used(acme) == []


def test_a_moment_belongs_to_one_period(acme: Any) -> None:
    meter(event(acme))
    with tenant_scope(acme.tenant.id):
        at = LedgerEntry.objects.get().processed_at
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
    meter(*(event(acme, stream=f"s{n}", model=f"m{n}") for n in range(3)))
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
    """Of 20,000 entries in a year of another project, a report on a month of ours reads its own few."""
    with tenant_scope(acme.tenant.id):
        with connection.cursor() as cursor:
            fill = """
                INSERT INTO metering_ledgerentry (tenant_id, project_id, key_id, seq, kind, at, period,
                    processed_at, stream, request_id, from_ms, to_ms, ms, usage_kind, model, region, tags,
                    currency, amount, waived, reason, reference, previous_hash, hash)
                SELECT %s, %s, %s, %s + n, 'usage', now(), current_date, now() - n * interval '1 day' / %s,
                    's' || n, 's' || n, 0, 1000, 1000, 'live', 'm', 'r', '{}', 'USD', 0, 0, '', '', '', ''
                FROM generate_series(1, %s) n"""
            ids = [acme.tenant.id, uuid.uuid4(), uuid.uuid4()]
            cursor.execute(fill, [*ids, 0, 55, 20_000])
            cursor.execute(fill, [ids[0], acme.project.id, ids[2], 20_000, 5, 200])
            # As the schema's owner does: the application may not.
            cursor.execute("RESET ROLE")
            cursor.execute("ANALYZE metering_ledgerentry")
            cursor.execute("SELECT set_config('role', 'stenogate_app', true)")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            [*_] = reports.usage(wanted(acme))
        sql = next(query["sql"] for query in queries if "metering_ledgerentry" in query["sql"])
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "ledger_of_project" in plan
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
