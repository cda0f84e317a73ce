"""The emitter with a broker that is a plain function: up, down, slow, and back again."""

from __future__ import annotations

import asyncio
import threading
import uuid
from typing import Any

import pytest

from metering import emit, tasks
from metering.emit import Emitter
from metering.events import UsageEvent
from metering.requests import Request

ID = str(uuid.uuid4())


def request(name: str) -> Request:
    when = "2026-01-01T00:00:00+00:00"
    return Request(
        ID, ID, ID, name, "live", "/v1/listen", when, when, "done", 200, 1000, 1000, 1,
        "m", "1", "en", "local", "w",
    )  # fmt: skip


def events(count: int) -> list[UsageEvent]:
    return [UsageEvent(ID, ID, ID, "s", n * 1000, (n + 1) * 1000, "m", "local", "w") for n in range(count)]


class Broker:
    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.tasks: list[str] = []
        self.calls = 0
        self.failures_left = 0
        self.gate = threading.Event()
        self.gate.set()

    def send(self, task: str, batch: list[dict[str, Any]]) -> None:
        self.calls += 1
        self.tasks.append(task)
        assert self.gate.wait(10)
        if self.failures_left:
            self.failures_left -= 1
            raise ConnectionError("redis://:password@10.0.0.1 refused")
        self.taken += batch


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emit, "FIRST_PAUSE_S", 0.01)


async def test_events_reach_the_broker_in_order_and_in_batches() -> None:
    broker = Broker()
    emitter = Emitter(broker.send)
    emitter.start()
    emitter.emit(events(1250))
    assert await emitter.stop(within_s=5) == 0
    assert [event["from_ms"] for event in broker.taken] == [n * 1000 for n in range(1250)]
    assert broker.calls == 3


async def test_usage_and_requests_go_through_one_emitter_each_to_its_task() -> None:
    broker = Broker()
    emitter = Emitter(broker.send)
    emitter.start()
    emitter.emit([*events(2), request("a"), request("b"), *events(1)])
    assert await emitter.stop(within_s=5) == 0
    assert broker.tasks == ["metering.record_usage", "metering.record_requests", "metering.record_usage"]
    assert [record.get("request_id") for record in broker.taken] == [None, None, "a", "b", None]
    assert set(broker.tasks) == set(tasks.BY_NAME)


async def test_while_the_broker_is_down_nothing_is_lost_and_it_recovers_by_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = Broker()
    broker.failures_left = 4
    emitter = Emitter(broker.send)
    emitter.start()
    emitter.emit(events(3))
    assert await emitter.stop(within_s=5) == 0
    assert len(broker.taken) == 3
    assert broker.calls == 5
    assert "password" not in caplog.text


async def test_past_its_bound_it_is_full_and_past_the_last_it_counts_what_it_loses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(emit, "MAX_WAITING", 5)
    monkeypatch.setattr(emit, "HARD_LIMIT", 10)
    lost: list[int] = []
    emitter = Emitter(Broker().send, on_lost=lambda: lost.append(1))
    emitter.emit(events(4))
    assert not emitter.full
    emitter.emit(events(1))
    assert emitter.full
    emitter.emit(events(8))
    assert (emitter.waiting, emitter.dropped, len(lost)) == (10, 3, 3)


async def test_a_stop_does_not_wait_for_a_broker_for_ever() -> None:
    broker = Broker()
    broker.gate.clear()
    emitter = Emitter(broker.send)
    emitter.start()
    emitter.emit(events(2))
    assert await asyncio.wait_for(emitter.stop(within_s=0.05), 5) == 2
    broker.gate.set()
