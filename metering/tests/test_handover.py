"""The emitter with a spool and a real folder; its broker is in the hand of the test."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from metering import emit, handover
from metering.events import UsageEvent
from metering.handover import SpooledEmitter
from metering.requests import Request
from metering.spool import Spool
from metering.tests.test_emit import events, request
from metering.tests.test_spool import disk_that_takes, files

DEADLINE_S = 10.0
MANY = 1 << 30


class Broker:
    """Takes what it is given; it is stored when the test says so, or at once."""

    def __init__(self, *, down: bool = False, stores: bool = True) -> None:
        self.taken: list[dict[str, Any]] = []
        self.calls: list[tuple[str, int, str]] = []  # the task, how many, the batch
        self.known: set[str] = set()
        self.down, self.stores = down, stores
        self.forgot = True  # of who never asked before
        self.asked = self.looked = 0
        self.gate, self.look_gate = threading.Event(), threading.Event()
        self.gate.set()
        self.look_gate.set()

    def send(self, task: str, records: list[dict[str, Any]], batch: str) -> None:
        if self.down:
            raise ConnectionError("redis://:password@10.0.0.1 refused")
        assert self.gate.wait(DEADLINE_S)
        self.taken += records
        self.calls.append((task, len(records), batch))
        if self.stores:
            self.known.add(batch)

    def look(self, batches: Sequence[str]) -> tuple[bool, set[str]]:
        if self.down:
            raise ConnectionError
        self.asked += 1
        assert self.look_gate.wait(DEADLINE_S)
        self.looked += 1
        forgot, self.forgot = self.forgot, False
        return forgot, self.known & set(batches)

    @property
    def from_ms(self) -> list[int]:
        return [record["from_ms"] for record in self.taken]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emit, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(handover, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(handover, "SYNC_EVERY_S", 0.01)


@asynccontextmanager
async def emitting(
    folder: Path, broker: Broker, max_bytes: int = MANY, **options: Any
) -> AsyncIterator[SpooledEmitter]:
    emitter = SpooledEmitter(Spool(folder, max_bytes), broker, **options)
    emitter.start()
    try:
        yield emitter
    finally:
        await emitter.stop(within_s=0.05)


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def wanted(count: int) -> list[int]:
    return [number * 1000 for number in range(count)]


async def test_records_reach_the_broker_in_order_and_leave_the_disk_when_they_are_stored(
    tmp_path: Path,
) -> None:
    broker = Broker()
    async with emitting(tmp_path, broker) as emitter:
        emitter.emit(events(1250))
        await until(lambda: not files(tmp_path))
        assert (emitter.waiting, emitter.spooled_bytes) == (0, 0)
    assert broker.from_ms == wanted(1250)
    assert [count for _, count, _ in broker.calls] == [500, 500, 250]


async def test_each_goes_to_its_task(tmp_path: Path) -> None:
    broker = Broker()
    async with emitting(tmp_path, broker) as emitter:
        emitter.emit([*events(2), request("a"), request("b"), *events(1)])
        await until(lambda: not files(tmp_path))
    assert [(task, count) for task, count, _ in broker.calls] == [
        (UsageEvent.task, 2),
        (Request.task, 2),
        (UsageEvent.task, 1),
    ]
    assert broker.taken[2] == request("a").as_dict() | {"tags": []}


async def test_while_the_broker_is_down_it_waits_on_the_disk_and_not_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker(down=True)
    async with emitting(tmp_path, broker) as emitter:
        emitter.emit(events(300))
        await until(lambda: "ConnectionError" in caplog.text)
        assert (emitter.waiting, len(emitter._waiting), emitter.full) == (300, 0, False)
        assert files(tmp_path)[0].stat().st_size == emitter.spooled_bytes
        broker.down = False
        await until(lambda: not files(tmp_path))
    assert broker.from_ms == wanted(300)
    assert "password" not in caplog.text


async def test_what_a_process_leaves_goes_to_the_next_also_when_the_broker_had_taken_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker(stores=False)
    async with emitting(tmp_path, broker) as emitter:
        emitter.emit(events(3))
        await until(lambda: len(broker.taken) == 3)
        broker.down = True
        emitter.emit([request("r")])
        assert await emitter.stop(within_s=0.05) == 1
    assert "wait in" in caplog.text
    again = Broker()
    async with emitting(tmp_path, again):
        await until(lambda: not files(tmp_path))
    assert [record.get("from_ms", record.get("request_id")) for record in again.taken] == [0, 1000, 2000, "r"]


async def test_a_gateway_that_dies_beside_another_is_inherited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "ADOPT_EVERY_S", 0.01)
    dead = Spool(tmp_path, MANY)
    broker = Broker()
    async with emitting(tmp_path, broker) as emitter:
        neighbour = SpooledEmitter(dead, broker)
        neighbour.emit(events(2))
        emitter.emit([request("mine")])
        await until(lambda: len(broker.taken) == 1)
        dead.close()  # as the end of its process does
        await until(lambda: not files(tmp_path))
    assert [record.get("from_ms") for record in broker.taken] == [None, 0, 1000]


async def test_what_a_broker_has_lost_is_handed_over_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker(stores=False)
    async with emitting(tmp_path, broker) as emitter:
        emitter.emit(events(150))
        await until(lambda: len(broker.taken) == 150 and broker.looked > 2)
        assert len(broker.taken) == 150  # nothing was lost before there was anything
        broker.taken.clear()
        broker.stores = broker.forgot = True
        await until(lambda: not files(tmp_path))
    assert sorted(broker.from_ms) == wanted(150)
    assert "the broker has lost its memory" in caplog.text


async def test_what_is_handed_over_while_it_is_asked_may_be_lost_as_well(tmp_path: Path) -> None:
    broker = Broker(stores=False)
    async with emitting(tmp_path, broker) as emitter:
        emitter.emit(events(1))
        await until(lambda: len(broker.calls) == 1 and broker.looked > 2)
        broker.look_gate.clear()
        await until(lambda: broker.asked > broker.looked)
        emitter.emit([request("r")])
        await until(lambda: len(broker.calls) == 2)
        broker.forgot = True
        broker.look_gate.set()
        await until(lambda: len(broker.calls) == 4)
    assert len({batch for *_, batch in broker.calls}) == 2


async def test_what_is_stored_while_it_is_handed_over_again_is_done_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker(stores=False)
    async with emitting(tmp_path, broker) as emitter:
        emitter.emit(events(2))
        await until(lambda: len(broker.calls) == 1 and broker.looked > 2)
        broker.gate.clear()
        broker.forgot = True
        await until(lambda: "handed over again" in caplog.text)
        broker.known.add(broker.calls[0][2])
        await until(lambda: not files(tmp_path))
        broker.gate.set()
        await until(lambda: len(broker.calls) == 2)
        broker.stores = True
        emitter.emit(events(1))
        await until(lambda: len(broker.calls) == 3 and not files(tmp_path))
        assert (emitter.waiting, emitter.spooled_bytes) == (0, 0)
    assert "begun again" not in caplog.text


async def test_what_nobody_says_is_stored_is_handed_over_again_less_and_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "AGAIN_AFTER_S", 0.02)
    broker = Broker(stores=False)
    async with emitting(tmp_path, broker) as emitter:
        emitter.emit(events(1))
        await until(lambda: len(broker.taken) == 3)
        (handed,) = emitter._in_flight.values()
        assert handed.patience_s >= 0.08
        assert len({batch for *_, batch in broker.calls}) == 1  # whichever is stored, it is known
        broker.known = {batch for *_, batch in broker.calls}
        await until(lambda: not files(tmp_path))


async def test_the_broker_is_not_given_more_than_it_gets_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "MAX_IN_FLIGHT", 2)
    broker = Broker(stores=False)
    async with emitting(tmp_path, broker) as emitter:
        emitter.emit(events(2500))
        await until(lambda: len(broker.calls) == 2)
        emitter.emit([request("last")])
        assert emitter.waiting == 1501
        broker.known.add(broker.calls[0][2])
        await until(lambda: len(broker.calls) == 3)
        assert emitter.waiting == 1001
        broker.stores = True
        broker.known |= {batch for *_, batch in broker.calls}
        await until(lambda: not files(tmp_path))
    assert len(broker.taken) == 2501


async def test_past_its_bound_it_is_full_and_past_the_last_it_counts_what_it_loses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    requests = [request(letter) for letter in "abcdefghijklm"]
    size = len(handover._encode((Request.task, requests[0].as_dict()))) + 1
    lost: list[int] = []
    broker = Broker(down=True)
    async with emitting(tmp_path, broker, 5 * size, on_lost=lambda: lost.append(1)) as emitter:
        emitter.emit(requests[:4])
        assert not emitter.full
        emitter.emit(requests[4:5])
        assert emitter.full
        emitter.emit(requests[5:])
        assert (emitter.waiting, emitter.dropped, len(lost)) == (10, 3, 3)
        assert [name for name in "jklm" if f"lost request {name}" in caplog.text] == ["k", "l", "m"]
        broker.down = False
        await until(lambda: not files(tmp_path))
        assert not emitter.full
    assert len(broker.taken) == 10


async def test_a_full_disk_is_said_once_and_usage_waits_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker(down=True)
    async with emitting(tmp_path, broker) as emitter:
        with disk_that_takes(100):
            emitter.emit(events(1))
            emitter.emit([request("r")])
        assert (emitter.broken, emitter.waiting, emitter.full) == (True, 2, False)
        assert caplog.text.count("usage waits in memory") == 1
        emitter.emit(events(1))
        assert not emitter.broken
        assert "works again" in caplog.text
        broker.down = False
        await until(lambda: len(broker.taken) == 3 and not files(tmp_path))


async def test_a_damaged_record_is_named_and_keeps_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = handover._encode((UsageEvent.task, events(1)[0].as_dict())) + b"\n"
    bad = [
        b"\0" * 50 + b"\n",
        b"\xff\n",
        b"[]\n",
        b'["metering.unknown", {}]\n',
        b'["x"\n',
        b"[" * 9999 + b"\n",
    ]
    (tmp_path / "x.jsonl").write_bytes(good + b"".join(bad) + good)
    (tmp_path / "y.jsonl").write_bytes(b"nothing of it\n")
    broker = Broker()
    async with emitting(tmp_path, broker):
        await until(lambda: not files(tmp_path))
    assert broker.from_ms == [0, 0]
    assert caplog.text.count("left out a damaged record") == len(bad) + 1


async def test_a_file_that_cannot_be_read_is_left_and_holds_nobody_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker(down=True)
    async with emitting(tmp_path, broker) as emitter:
        emitter.emit(events(2))
        await until(lambda: "ConnectionError" in caplog.text)
        (path,) = files(tmp_path)
        os.truncate(path, 10)
        broker.down = False
        await until(lambda: "cannot read" in caplog.text)
        emitter.emit(events(1))
        await until(lambda: len(broker.taken) == 1)
        await until(lambda: files(tmp_path) == [path])
        assert (emitter.waiting, emitter.spooled_bytes) == (0, 0)


async def test_what_nobody_has_thought_of_stops_nothing_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(emit, "LONGEST_PAUSE_S", 0.01)
    broker = Broker()
    look, broker.look = broker.look, None  # type: ignore[method-assign, assignment]
    spool = Spool(tmp_path, MANY)
    read, spool.read = spool.read, None  # type: ignore[method-assign, assignment]
    emitter = SpooledEmitter(spool, broker)
    emitter.start()
    emitter.emit(events(2))
    await until(lambda: "begun again" in caplog.text)
    spool.read, broker.look = read, look  # type: ignore[method-assign]
    await until(lambda: not files(tmp_path))
    await emitter.stop(within_s=1)
    assert broker.from_ms == wanted(2)


async def test_a_stop_waits_neither_for_a_broker_nor_for_the_database_for_ever(tmp_path: Path) -> None:
    broker = Broker(stores=False)
    emitter = SpooledEmitter(Spool(tmp_path, MANY), broker)
    emitter.start()
    emitter.emit(events(1))
    async with asyncio.timeout(DEADLINE_S):
        assert await emitter.stop(within_s=0.05) == 0
    assert len(files(tmp_path)) == 1  # nobody has said that it is stored
