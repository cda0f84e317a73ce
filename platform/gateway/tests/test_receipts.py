"""The receipt at a stream's end, out of a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection

from gateway import control, parameters, receipts
from gateway.events import CloseStream, Summary
from gateway.stream import Stream
from gateway.tests.doors import grant
from gateway.tests.hand_link import HandLink
from gateway.tests.test_stream import house
from metering import events
from metering.events import UsageEvent
from metering.models import ReceiptHead
from metering.receipts import keys
from metering.tests.test_tasks import event
from tenants.scope import tenant_scope
from wire.messages import Ended

pytestmark = pytest.mark.usefixtures("_signing")


@pytest.fixture
def _signing(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIPT_KEYS", keys.make("2026-11"))
    # However busy this machine is: what happens when it is too late has a test of its own.
    monkeypatch.setattr(receipts, "WITHIN_S", 60.0)


def used(household: Any, from_ms: int, to_ms: int, minute: int = 0, stream: str = "r") -> UsageEvent:
    at = f"2026-11-20T10:{minute:02}:00+00:00"
    return events.parse(event(household, from_ms, to_ms, stream=stream, processed_at=at))


def test_events_that_follow_each_other_are_kept_as_one(acme: Any) -> None:
    billed = receipts.Billed()
    billed.add([used(acme, 0, 5000), used(acme, 0, 5000, stream="r.1"), used(acme, 5000, 9000, 14)])
    billed.add([used(acme, 9000, 12_000, 15)])
    found = [(one.stream, one.from_ms, one.to_ms, one.processed_at[14:16]) for one in billed.events]
    assert found == [("r", 0, 9000, "14"), ("r.1", 0, 5000, "00"), ("r", 9000, 12_000, "15")]


async def test_a_stream_gets_its_receipt_and_the_same_when_it_asks_again(acme: Any, rival: Any) -> None:
    receipt = await receipts.ask("r", [used(acme, 0, 5000)])
    assert receipt is not None
    body = json.loads(receipt["body"])
    assert (body["request_id"], body["ms"], body["tenant"]) == ("r", 5000, str(acme.tenant.id))
    assert await receipts.ask("r", [used(acme, 0, 5000)]) == receipt
    theirs = await receipts.ask("r", [used(rival, 0, 7000)])
    assert theirs is not None
    assert json.loads(theirs["body"])["number"] == 1


async def test_nothing_metered_or_nothing_to_sign_with_is_no_receipt(
    acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await receipts.ask("r", []) is None
    monkeypatch.setenv("RECEIPT_KEYS", "")
    assert await receipts.ask("r", [used(acme, 0, 5000)]) is None


@pytest.fixture
def chain_held(acme: Any) -> Iterator[None]:
    """Somebody else issues receipts of this tenant, and takes long."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with tenant_scope(acme.tenant.id):
            ReceiptHead.objects.create(tenant_id=acme.tenant.id)
            held.set()
            done.wait(60)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    yield
    done.set()
    thread.join()


@pytest.mark.usefixtures("chain_held")
async def test_who_cannot_have_it_in_time_goes_without(
    acme: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(receipts, "WITHIN_S", 0.2)
    assert await receipts.ask("r", [used(acme, 0, 5000)]) is None
    assert "receipt of stream r: " in caplog.text
    assert receipts._under_way == 0


async def test_a_key_whose_name_was_anothers_signs_nothing(
    acme: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert await receipts.ask("r", [used(acme, 0, 5000)]) is not None
    monkeypatch.setenv("RECEIPT_KEYS", keys.make("2026-11"))
    assert await receipts.ask("s", [used(acme, 0, 5000)]) is None
    assert "KeyNameTaken" in caplog.text


async def test_too_many_at_once_go_without(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "_under_way", receipts.THREADS + receipts.MAX_WAITING)
    assert await receipts.ask("r", [used(acme, 0, 5000)]) is None


# ---- a stream, from its audio to its last word


async def spoken(acme: Any) -> Stream:
    """A stream of acme's of half a second, all of it processed and all finals said."""
    granted = replace(grant(), tenant_id=acme.tenant.id, project_id=acme.project.id, key_id=acme.key.id)
    query = b"encoding=linear16&sample_rate=16000&callback=http://127.0.0.1:9999/"
    stream = Stream(house(HandLink()), granted, parameters.parse(query), "s")
    await stream.open()
    await stream.hear(bytes(16_000))
    await stream.obey(CloseStream())
    stream.receive_from_worker(Ended(stream="s", epoch=1, processed=8000))
    return stream


def called_back(stream: Stream) -> dict[str, Any]:
    (sent,) = stream.house.callbacks.callbacks  # type: ignore[attr-defined]
    body: dict[str, Any] = json.loads(sent.body)
    return body


async def test_the_last_word_has_the_receipt_of_all_that_is_billed(acme: Any, rival: Any) -> None:
    stream = await spoken(acme)
    message = await stream.message()
    assert isinstance(message, Summary)
    assert message.receipt is not None
    body = json.loads(message.receipt["body"])
    assert (body["request_id"], body["ms"], body["project"]) == ("s", 500, str(acme.project.id))
    assert called_back(stream)["receipt"] == message.receipt
    assert await stream.message() is None


@pytest.mark.usefixtures("chain_held")
async def test_who_leaves_while_it_is_made_is_still_called_back_and_once(
    acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "WITHIN_S", 0.2)
    stream = await spoken(acme)
    waiting = asyncio.create_task(stream.message())
    await asyncio.sleep(0)
    assert receipts._under_way == 1
    stream.leave()
    assert called_back(stream)["receipt"] is None
    assert await waiting is None
    assert called_back(stream)["type"] == "Metadata"


async def test_without_the_database_nobody_waits_for_a_receipt(
    acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = control.ControlDatabase(900)
    monkeypatch.setattr(control, "current", lambda: database)
    monkeypatch.setattr(receipts, "_issue", lambda *_: pytest.fail("it was asked"))
    while not database.away:
        with pytest.raises(ConnectionRefusedError), database.noting():
            raise ConnectionRefusedError
    assert await receipts.ask("r", [used(acme, 0, 5000)]) is None
