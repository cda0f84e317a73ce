"""The task against a real PostgreSQL, with two tenants in it."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import pytest
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    transaction,
)

from metering import services
from metering.ledger.errors import RecordingStuck
from metering.ledger.tests.make import stored, usage
from metering.models import Request, UsageEvent
from metering.tasks import record_requests, record_usage
from tenants.scope import tenant_scope


def event(household: Any, from_ms: int = 0, to_ms: int = 5000, **changes: Any) -> dict[str, Any]:
    """As a gateway of before says it."""
    said = usage(household, from_ms, to_ms).as_dict()
    for unsaid in ("kind", "processed_at", "source"):
        del said[unsaid]
    return {**said, "tags": ["call"], **changes}


def request(household: Any, request_id: str = "r", **changes: Any) -> dict[str, Any]:
    return {
        **{
            name: event(household)[name] for name in ("tenant", "project", "key", "model", "region", "worker")
        },
        "request_id": request_id,
        "kind": "live",
        "path": "/v1/listen",
        "started_at": "2026-01-01T10:00:00+00:00",
        "ended_at": "2026-01-01T10:00:05+00:00",
        "outcome": "done",
        "status": 200,
        "audio_ms": 5000,
        "billed_ms": 5000,
        "channels": 1,
        "version": "1",
        "language": "en",
        "tags": ["call"],
        **changes,
    }


def logged(household: Any) -> list[tuple[str, str]]:
    with tenant_scope(household.tenant.id):
        return list(Request.objects.order_by("request_id").values_list("request_id", "outcome"))


def test_an_event_that_comes_twice_is_stored_once(acme: Any) -> None:
    record_usage([event(acme), event(acme)])
    record_usage([event(acme), event(acme, 5000, 7000)])
    assert stored(acme) == [("s:0", 0, 5000), ("s:5000", 5000, 7000)]


def test_the_same_id_of_two_tenants_is_two_events_and_each_sees_its_own(acme: Any, rival: Any) -> None:
    record_usage([event(acme), event(rival, 0, 3000)])
    assert stored(acme) == [("s:0", 0, 5000)]
    assert stored(rival) == [("s:0", 0, 3000)]


def test_a_malformed_event_keeps_no_other_from_being_stored(
    acme: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        record_usage([event(acme, to_ms=-1), {"tags": ["secret"]}, event(acme)])  # type: ignore[list-item]
    assert stored(acme) == [("s:0", 0, 5000)]
    assert "to_ms" in caplog.text
    assert "secret" not in caplog.text


def test_an_event_of_no_tenant_is_named_and_the_others_are_stored(
    transactional_db: None, acme: Any, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = event(acme, tenant=str(uuid.uuid4()), stream="lost")
    with caplog.at_level(logging.ERROR):
        record_usage([event(acme), nobody, event(acme, 5000, 7000)])
    assert stored(acme) == [("s:0", 0, 5000), ("s:5000", 5000, 7000)]
    assert "lost:0 to 5000 ms belongs to no tenant" in caplog.text


def test_what_the_database_does_not_take_keeps_no_other_from_being_stored(
    acme: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = services.record

    def record(events: Any) -> int:
        if any(one.stream == "bad" for one in events):
            raise DataError("a customer's tag is out of range") from ValueError("the tag")
        return real(events)

    monkeypatch.setattr(services, "record", record)
    record_usage([event(acme), event(acme, stream="bad"), event(acme, 5000, 7000)])
    assert stored(acme) == [("s:0", 0, 5000), ("s:5000", 5000, 7000)]
    assert "does not take usage bad:0 to 5000 ms: ValueError" in caplog.text
    assert "tag" not in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("it is starting up"),
        InternalError("cannot execute INSERT in a read-only transaction"),  # it is about to be the primary
        InterfaceError(),
        RecordingStuck(),
    ],
)
def test_what_will_pass_is_tried_again_and_not_for_ever(
    acme: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tried: list[object] = []

    def away(events: object) -> None:
        tried.append(events)
        raise error

    monkeypatch.setattr(services, "record", away)
    record_usage.apply(([event(acme)],), retries=record_usage.max_retries - 2)
    assert len(tried) == 3
    assert record_usage.max_retries == 500


def test_a_stored_event_can_be_neither_changed_nor_deleted(acme: Any) -> None:
    record_usage([event(acme)])
    with tenant_scope(acme.tenant.id):
        for change in (lambda: UsageEvent.objects.update(to_ms=1), lambda: UsageEvent.objects.all().delete()):
            with pytest.raises(Exception, match=r"permission denied|never changed"), transaction.atomic():
                change()
    assert stored(acme) == [("s:0", 0, 5000)]


def test_the_database_refuses_a_range_that_ends_before_it_begins(acme: Any) -> None:
    with tenant_scope(acme.tenant.id), pytest.raises(IntegrityError), transaction.atomic():
        UsageEvent.objects.create(
            tenant_id=acme.tenant.id,
            project_id=acme.project.id,
            key_id=acme.key.id,
            event_id="x",
            stream="s",
            from_ms=5,
            to_ms=5,
            model="m",
            region="r",
            worker="w",
        )


def test_a_request_is_logged_once_and_the_first_entry_stays(acme: Any, rival: Any) -> None:
    record_requests([request(acme), request(acme, outcome="again")])
    record_requests([request(acme, outcome="later"), request(acme, "s"), request(rival, outcome="NET-0001")])
    assert logged(acme) == [("r", "done"), ("s", "done")]
    assert logged(rival) == [("r", "NET-0001")]


def test_a_bad_entry_keeps_no_other_from_the_log(
    transactional_db: None, acme: Any, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = request(acme, "lost", tenant=str(uuid.uuid4()))
    with caplog.at_level(logging.ERROR):
        record_requests([request(acme, status="secret"), nobody, request(acme, "s")])
    assert logged(acme) == [("s", "done")]
    assert "request lost belongs to no tenant" in caplog.text
    assert "status" in caplog.text
    assert "secret" not in caplog.text


def test_a_logged_request_can_be_neither_changed_nor_deleted(acme: Any) -> None:
    record_requests([request(acme)])
    with tenant_scope(acme.tenant.id):
        for change in (lambda: Request.objects.update(status=500), lambda: Request.objects.all().delete()):
            with pytest.raises(Exception, match=r"permission denied|never changed"), transaction.atomic():
                change()
    assert logged(acme) == [("r", "done")]
