"""Receipts for streams that ended without, and others where the ledger has changed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DataError, connection
from django.utils import timezone

from metering.ledger.append import NewEntry, append
from metering.models import Receipt, ReceiptDue
from metering.models.ledger import EntryKind
from metering.receipts import due
from metering.receipts.due import ABANDONED, Known, wait_until
from metering.receipts.tests.book import ended, stream, used
from metering.receipts.verify import problems_of
from tenants.scope import tenant_scope

pytestmark = pytest.mark.usefixtures("_signing", "_prices")
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def turn(after: timedelta = timedelta(minutes=1)) -> None:
    while due.look_through_ledger():
        pass
    due.issue_due(timezone.now() + after)


def receipts(household: Any) -> list[tuple[str, int, int]]:
    with tenant_scope(household.tenant.id):
        rows = Receipt.objects.order_by("number")
        return [(row.request_id, row.revision, json.loads(row.body)["ms"]) for row in rows]


def waiting(household: Any) -> int:
    with tenant_scope(household.tenant.id):
        return ReceiptDue.objects.count()


def test_a_stream_that_has_ended_gets_one_of_what_the_ledger_says(acme: Any, rival: Any) -> None:
    used(acme, stream(acme, "r.0", 5000), stream(acme, "r.1", 4000))
    used(rival, stream(rival, "r", 7000))
    ended(acme, "r", 9000)
    turn()
    assert (receipts(acme), receipts(rival)) == ([("r", 1, 9000)], [])
    with tenant_scope(acme.tenant.id):
        said = json.loads(Receipt.objects.get().body)
    assert said["prices"][0]["label"] == "Live"
    assert [(one["stream"], one["ms"]) for one in said["ranges"]] == [("r.0", 5000), ("r.1", 4000)]
    turn()
    assert len(receipts(acme)) == 1
    assert waiting(acme) == 0


def test_an_open_stream_waits_and_an_abandoned_one_does_not_for_ever(acme: Any) -> None:
    used(acme, stream(acme, "r", 5000))
    turn()
    assert receipts(acme) == []
    turn(ABANDONED + timedelta(minutes=1))
    assert receipts(acme) == [("r", 1, 5000)]


def test_what_the_ledger_does_not_have_yet_is_waited_for(acme: Any) -> None:
    ended(acme, "r", 5000)
    turn()
    assert receipts(acme) == []
    used(acme, stream(acme, "r", 5000))
    turn(timedelta(minutes=2))
    assert receipts(acme) == [("r", 1, 5000)]


def test_a_stream_of_nothing_gets_one_too(acme: Any) -> None:
    ended(acme, "r", 0)
    turn()
    assert receipts(acme) == [("r", 1, 0)]


def test_a_correction_makes_another_revision(acme: Any, rival: Any) -> None:
    for household in (acme, rival):
        used(household, stream(household, "r", 5000))
        ended(household, "r", 5000)
    turn()
    correction = NewEntry(
        EntryKind.CORRECTION, "counted twice", "reconcile:r", ms=-2000, stream="r", from_ms=3000, to_ms=5000
    )
    append(acme.tenant.id, [correction])
    turn(ABANDONED + timedelta(minutes=1))
    assert receipts(acme) == [("r", 1, 5000), ("r", 2, 3000)]
    assert receipts(rival) == [("r", 1, 5000)]
    assert problems_of(acme.tenant.id) == (2, [])


def test_usage_that_was_lost_and_found_makes_another_revision(acme: Any) -> None:
    used(acme, stream(acme, "r", 5000))
    ended(acme, "r", 5000)
    turn()
    used(acme, {**stream(acme, "r", 8000), "from_ms": 5000, "source": "inference_log"})
    turn(ABANDONED + timedelta(minutes=1))
    assert receipts(acme) == [("r", 1, 5000), ("r", 2, 8000)]


def test_without_keys_nothing_waits_and_with_keys_nothing_was_missed(
    acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as keyless:
        keyless.setenv("RECEIPT_KEYS", "")
        used(acme, stream(acme, "r", 5000))
        ended(acme, "r", 5000)
        turn()
        assert (receipts(acme), waiting(acme)) == ([], 0)
    turn()
    assert receipts(acme) == [("r", 1, 5000)]


@pytest.mark.parametrize("error", [ValueError("no"), DataError("no")])
def test_one_that_cannot_be_had_keeps_no_other_from_its_customer(
    acme: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    for name in ("a", "b"):
        used(acme, stream(acme, name, 5000))
        ended(acme, name, 5000)
    entries_of = due.statements.entries_of

    def broken(request_id: str) -> Any:
        if request_id == "a":
            raise error
        return entries_of(request_id)

    monkeypatch.setattr("metering.receipts.statements.entries_of", broken)
    turn()
    assert receipts(acme) == [("b", 1, 5000)]
    assert (waiting(acme), f"receipt of stream a: {type(error).__name__}" in caplog.text) == (1, True)


@pytest.mark.django_db(transaction=True)
def test_what_is_posted_while_a_receipt_is_made_is_in_the_next_one(
    acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    used(acme, stream(acme, "r", 5000))
    ended(acme, "r", 5000)
    while due.look_through_ledger():
        pass
    entries_of = due.statements.entries_of
    looked = threading.Event()

    def beside() -> None:
        used(acme, {**stream(acme, "r", 8000), "from_ms": 5000})
        due.look_through_ledger()
        looked.set()
        connection.close()

    thread = threading.Thread(target=beside)

    def read(request_id: str) -> Any:
        found = entries_of(request_id)
        if not thread.ident:
            thread.start()
            wait_until_true(lambda: looked.is_set() or somebody_waits())
        return found

    monkeypatch.setattr("metering.receipts.statements.entries_of", read)
    due.issue_due(timezone.now() + timedelta(minutes=1))
    thread.join()
    turn(ABANDONED + timedelta(minutes=1))
    assert receipts(acme) == [("r", 1, 5000), ("r", 2, 8000)]


def wait_until_true(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize(
    ("known", "until"),
    [
        (Known(None, 0, 0, None), NOW + ABANDONED),
        (Known(None, 0, 5, NOW - timedelta(minutes=9)), NOW + timedelta(minutes=1)),
        (Known(None, 0, 5, NOW - ABANDONED), None),
        (Known(NOW, 5, 5, NOW), None),
        (Known(NOW, 5, 4, NOW), NOW + due.AGAIN),
        (Known(NOW - ABANDONED, 5, 4, NOW), None),
        (Known(NOW, 0, 0, None), None),
    ],
)
def test_how_long_is_waited(known: Known, until: datetime | None) -> None:
    assert wait_until(known, NOW) == until
