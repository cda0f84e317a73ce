from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from metering.ledger.post import post_due
from metering.ledger.tests.make import entries, priced, proved, usage
from metering.models import Request, Unsettled
from metering.services import record
from metering.tasks import record_requests
from metering.tests.test_tasks import request
from tenants.scope import staff_scope, tenant_scope

NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOW)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("9999-12-31T23:59:59+00:00", NOW),
        ((NOW + timedelta(minutes=6)).isoformat(), NOW),
        ((NOW + timedelta(minutes=4)).isoformat(), NOW + timedelta(minutes=4)),
        ("0001-01-01T00:00:00+00:00", datetime(2020, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_clock_that_is_far_wrong_carries_no_minimum_into_another_age(
    acme: Any, said: str, kept: datetime
) -> None:
    priced(acme, minimum_ms=10_000, since=datetime(2019, 1, 1, tzinfo=UTC))
    record([usage(acme, 0, 3000, at=NOW)])
    record_requests([request(acme, "s", started_at=said, ended_at=said, billed_ms=3000)])
    with tenant_scope(acme.tenant.id):
        row = Request.objects.get()
    assert (row.started_at, row.ended_at) == (kept, kept)
    with staff_scope():
        Unsettled.objects.update(next_at=NOW)
    post_due()
    assert [(entry.kind, entry.amount, f"{entry.period:%Y-%m}") for entry in entries(acme)] == [
        ("usage", Decimal("0.003"), "2026-10"),
        ("adjustment", Decimal("0.007"), "2026-10"),
    ]
    assert proved(acme)


@pytest.mark.parametrize("outcome", ["client_left", "region_draining", "stream_error", "done"])
@pytest.mark.parametrize("channels", [1, 2])
def test_of_a_stream_that_goes_on_in_another_region_the_last_word_comes_from_there(
    acme: Any, outcome: str, channels: int
) -> None:
    stream = "s" if channels == 1 else "s.1"
    record(
        [
            usage(acme, 0, 3000, stream=stream, region="eu"),
            usage(acme, 3000, 9000, stream=stream, region="us"),
        ]
    )
    ended = {"started_at": NOW.isoformat(), "ended_at": NOW.isoformat(), "channels": channels}
    record_requests([request(acme, "s", outcome=outcome, region="eu", billed_ms=3000, **ended)])
    record_requests([request(acme, "t", outcome=outcome, region="eu", billed_ms=3000, **ended)])
    record_requests([request(acme, "s", outcome="client_left", region="us", billed_ms=9000, **ended)])
    with tenant_scope(acme.tenant.id):
        found = {row.request_id: (row.region, row.billed_ms) for row in Request.objects.all()}
    assert found == {"s": ("eu", 3000) if outcome == "done" else ("us", 9000), "t": ("eu", 3000)}
