from __future__ import annotations

import random
import re
import threading

import msgspec
import pytest

from inference_worker.engines.base import RECORDED_ROWS
from inference_worker.engines.scripted import SENTENCES, ScriptedEngine, spoken
from inference_worker.scheduler import Wait
from inference_worker.tests.house import House, end, house, opening, silence
from wire.messages import (
    SAMPLE_RATE,
    Abort,
    Audio,
    End,
    Ended,
    Failed,
    Final,
    Flush,
    Flushed,
    Opened,
    Partial,
    Progress,
    Refused,
    SpeechStarted,
    WorkerState,
)

SAID = " ".join(SENTENCES[:2])  # in the first six seconds


async def test_a_stream_from_its_opening_to_its_end() -> None:
    async with house() as h:
        h.say(opening(interim_results=True), *silence(6.05), end())
        ended = await h.over()
        assert ended == Ended(stream="s", epoch=1, processed=int(6.05 * SAMPLE_RATE))
        assert h.text() == SAID
        first, *_ = h.sent["gateway"]
        assert isinstance(first, Opened)
        assert (first.model, first.chunk) == ("scripted", h.worker.info.chunk_samples)
        assert h.sent["gateway"][-1] is ended
        assert h.heard(Partial)
        assert h.heard(SpeechStarted)
        marks = [(p.processed, p.confirmed) for p in h.heard(Progress)]
        assert marks == sorted(marks)
        assert marks[-1] == (ended.processed, ended.processed)
        assert h.worker.active == 0


async def test_nobody_waits_for_what_is_heard_a_second_time() -> None:
    async with house() as h:
        chunk = h.worker.info.chunk_samples
        moved = msgspec.structs.replace(opening(start=chunk), replay_until=10 * chunk)
        h.say(moved, Audio(stream="s", epoch=1, position=chunk, pcm=bytes(2 * 8 * chunk)))
        await h.until(lambda: [p for p in h.heard(Progress) if p.processed == 9 * chunk])
        assert timed(h) == 0
        h.say(Audio(stream="s", epoch=1, position=9 * chunk, pcm=bytes(2 * 3 * chunk)), end())
        await h.over()
        assert timed(h) > 0


def timed(h: House) -> float:
    """Rows of whose wait somebody was told."""
    page = h.telemetry.page().decode()
    return float(re.search(r"^worker_queue_seconds_count (.*)$", page, re.MULTILINE)[1])  # type: ignore[index]


async def test_a_flush_is_answered_after_the_finals_before_it() -> None:
    async with house() as h:
        h.say(opening(), *silence(1.5), Flush(stream="s", epoch=1, token=11))
        await h.until(lambda: h.heard(Flushed))
        assert h.heard(Flushed)[0].token == 11
        order = [type(item) for item in h.sent["gateway"]]
        assert order.index(Final) < order.index(Flushed)
        said = h.text()
        assert said.startswith("The quick")
        h.say(*silence(4.55, start=24_000), end())
        await h.over()
        assert h.text() == SAID


async def test_a_stream_that_moved_here_goes_on_where_it_was() -> None:
    async with house() as h:
        start = 3 * SAMPLE_RATE
        h.say(opening(epoch=5, start=start), *silence(3.05, epoch=5, start=start), end(epoch=5))
        ended = await h.over()
        assert ended == Ended(stream="s", epoch=5, processed=start + int(3.05 * SAMPLE_RATE))
        assert h.heard(Final)[0].end_ms > 3000  # said while it moved
        assert SAID.endswith(h.text())


@pytest.mark.parametrize(
    ("options", "code"),
    [({"model": "whisper-9"}, "unknown_model"), ({"language": "tlh"}, "unknown_language")],
)
async def test_what_it_cannot_serve_is_refused_by_name(options: dict[str, str], code: str) -> None:
    async with house() as h:
        h.say(opening(**options), *silence(1), end())
        assert await h.over() == Refused(stream="s", epoch=1, code=code)
        assert h.sent["gateway"] == h.heard(Refused)


async def test_a_full_worker_refuses_and_takes_the_next_once_one_has_left() -> None:
    async with house(max_streams=1) as h:
        h.say(opening("a"), opening("b"))
        assert await h.over("b") == Refused(stream="b", epoch=1, code="no_capacity")
        h.say(Abort(stream="a", epoch=1), opening("c"), *silence(1, "c"), end("c"))
        assert isinstance(await h.over("c"), Ended)
        assert not h.heard(Ended, "a")
        assert not h.heard(Failed, "a")


async def test_recorded_audio_leaves_slots_to_the_live() -> None:
    async with house(max_streams=4, recorded_share=0.5) as h:
        h.say(*(opening(f"file-{number}", recorded=True) for number in range(3)))
        assert await h.over("file-2") == Refused(stream="file-2", epoch=1, code="no_capacity")
        assert h.worker.recorded_room == 0
        h.say(opening("call-0"), opening("call-1"), Abort(stream="file-0", epoch=1))
        assert h.worker.recorded_room == 1
        h.say(opening("file-3", recorded=True))
        await h.until(lambda: h.heard(Opened, "file-3"))
        assert not h.heard(Refused, "call-1")


async def test_recorded_audio_never_waits_for_company() -> None:
    """A file waits once for each of its chunks otherwise, beside streams that are silent."""
    async with house(wait=Wait(30, 30, 30, 30)) as h:
        h.say(opening("call"), opening(recorded=True), *silence(6.05), end())
        assert isinstance(await h.over(), Ended)
        assert h.text() == SAID


async def test_company_is_waited_for_until_all_are_there() -> None:
    """The wait here is longer than the test may take: it ends because everybody has come."""
    async with house(wait=Wait(60, 60, 60, 60)) as h:
        h.say(opening("a"), opening("b"), opening("file", recorded=True), *silence(0.2, "a"))
        for _ in range(10):
            await h.a_turn()
        assert not h.heard(Progress, "a")
        h.say(*silence(0.2, "b"))
        await h.until(lambda: h.heard(Progress, "a") and h.heard(Progress, "b"))
        assert b'worker_step_rows_bucket{le="1.0"} 0.0' in h.telemetry.page()


async def test_recorded_audio_goes_in_longer_rows_and_is_heard_the_same() -> None:
    engine = ScriptedEngine()
    async with house(engine) as h:
        h.say(opening(recorded=True), *silence(6.05), end())
        assert await h.over() == Ended(stream="s", epoch=1, processed=int(6.05 * SAMPLE_RATE))
        assert h.text() == SAID
        assert engine.steps < 6.05 * SAMPLE_RATE / engine.info.chunk_samples / 4


async def test_a_gap_fails_the_stream_by_name_and_no_other() -> None:
    async with house() as h:
        h.say(opening("a"), opening("b"))
        h.say(*silence(1, "a"), *silence(1, "a", start=20_000), *silence(1, "b"), end("b"))
        failed = await h.over("a")
        assert isinstance(failed, Failed)
        assert failed.code == "audio_gap"
        assert isinstance(await h.over("b"), Ended)


async def test_items_of_an_older_epoch_and_of_other_gateways_are_dropped() -> None:
    async with house() as h:
        h.say(opening(epoch=1), *silence(1))
        h.say(opening(epoch=2), gateway="other")
        # The first gateway is late, and a third one has no business here.
        h.say(*silence(1, start=16_000), end(), opening(epoch=1))
        h.say(Abort(stream="s", epoch=2), end(epoch=2), gateway="mallory")
        h.say(*silence(1.05, epoch=2), end(epoch=2), gateway="other")
        assert await h.over(gateway="other") == Ended(stream="s", epoch=2, processed=16_800)
        assert not h.heard(Ended)
        assert "mallory" not in h.sent
        assert h.worker.active == 0


async def test_a_lost_gateway_s_streams_are_freed_and_get_nothing_more() -> None:
    async with house() as h:
        h.say(opening("a"), opening("b"))
        h.say(opening("c"), gateway="other")
        before = len(h.sent["gateway"])
        assert h.worker.holds_streams_of("gateway")
        h.worker.gateway_lost("gateway")
        assert not h.worker.holds_streams_of("gateway")
        h.say(*silence(1, "a"), end("a"))
        h.say(*silence(1, "c"), end("c"), gateway="other")
        assert isinstance(await h.over("c", "other"), Ended)
        assert len(h.sent["gateway"]) == before


async def test_a_step_that_hangs_shows() -> None:
    gate = threading.Event()

    class Hanging(ScriptedEngine):
        def step(self, rows):  # type: ignore[no-untyped-def]
            gate.wait(10)
            return super().step(rows)

    async with house(Hanging(), hangs_after_s=0.05) as h:
        h.say(opening("a"), *silence(1, "a"), end("a"))
        await h.until(lambda: h.worker.state is WorkerState.UNHEALTHY)
        h.say(opening("b"))
        assert await h.over("b") == Refused(stream="b", epoch=1, code="unhealthy")
        gate.set()
        assert isinstance(await h.over("a"), Ended)
        await h.until(lambda: h.worker.state is WorkerState.READY)


async def test_a_result_for_a_slot_that_was_given_on_reaches_nobody() -> None:
    stepping, gate = threading.Event(), threading.Event()

    class Gated(ScriptedEngine):
        def step(self, rows):  # type: ignore[no-untyped-def]
            stepping.set()
            gate.wait(10)
            return super().step(rows)

    async with house(Gated(spoken(["Secret words of Alice."])), max_streams=1) as h:
        h.say(opening("alice", interim_results=True), *silence(2, "alice"))
        await h.until(stepping.is_set)
        h.say(Abort(stream="alice", epoch=1), opening("mallory", tenant="rival", interim_results=True))
        gate.set()
        h.say(*silence(0.2, "mallory"), end("mallory"))
        assert isinstance(await h.over("mallory"), Ended)
        assert h.text("mallory") == ""
        assert not h.heard(Partial, "mallory")


class Gated(ScriptedEngine):
    """Stands in the middle of each step until it is let go on."""

    def __init__(self, max_batch: int = 4096) -> None:
        super().__init__(max_batch=max_batch)
        self.stepping, self.gate = threading.Event(), threading.Event()
        self.rode: list[list[int]] = []  # the slots of each step

    def step(self, rows):  # type: ignore[no-untyped-def]
        self.rode.append([row.slot for row in rows])
        self.stepping.set()
        assert self.gate.wait(10)
        return super().step(rows)


async def test_finalize_while_a_step_runs_is_answered_with_all_before_it() -> None:
    engine = Gated()
    async with house(engine) as h:
        h.say(opening(), *silence(1))
        await h.until(engine.stepping.is_set)
        h.say(*silence(0.53, start=16_000), Flush(stream="s", epoch=1, token=1))
        h.say(Flush(stream="s", epoch=1, token=2), *silence(4.52, start=24_480))
        h.say(Flush(stream="s", epoch=1, token=3), end())
        engine.gate.set()
        assert await h.over() == Ended(stream="s", epoch=1, processed=int(6.05 * SAMPLE_RATE))
        assert [flushed.token for flushed in h.heard(Flushed)] == [1, 2, 3]
        before = h.sent["gateway"][: h.sent["gateway"].index(h.heard(Flushed)[0])]
        progress = [item for item in before if isinstance(item, Progress)]
        assert progress[-1].confirmed == int(1.53 * SAMPLE_RATE)
        assert h.text() == SAID


@pytest.mark.parametrize("recorded", [False, True])
async def test_a_client_that_leaves_while_a_step_runs_frees_its_slot_at_once(recorded: bool) -> None:
    engine = Gated()
    async with house(engine, max_streams=2) as h:
        h.say(opening(recorded=recorded), *silence(20))
        await h.until(engine.stepping.is_set)
        h.say(Abort(stream="s", epoch=1))
        assert (h.worker.active, h.worker.recorded_room) == (0, 2)
        told = len(h.sent["gateway"])
        engine.gate.set()
        # Its 20 s are not gone on with: the step after is another's.
        h.say(opening("next"), *silence(0.1, "next"), end("next"))
        assert isinstance(await h.over("next"), Ended)
        assert not [item for item in h.sent["gateway"][told:] if item.stream == "s"]
        assert engine.rode[1:] == [[1]]
        assert set(engine._slots) <= {1}


async def test_each_tenant_has_its_turns_over_steps_that_have_no_room_for_all() -> None:
    engine = Gated(max_batch=4)
    async with house(engine) as h:
        crowd = [(f"{tenant}-{number}", f"tenant-{tenant}") for tenant in range(10) for number in range(4)]
        h.say(*(opening(name, tenant=tenant) for name, tenant in crowd))
        h.say(*(audio for name, _ in crowd for audio in silence(20, name)))
        await h.until(engine.stepping.is_set)
        h.say(opening("call", tenant="few"), *silence(6.05, "call"), end("call"))
        engine.gate.set()
        assert isinstance(await h.over("call"), Ended)
        chunks = -(-int(6.05 * SAMPLE_RATE) // engine.info.chunk_samples)
        with_call = [step for step, slots in enumerate(engine.rode) if len(crowd) in slots]
        assert len(with_call) == chunks
        assert with_call[-1] <= 1 + chunks * 11 / 4 + 1  # its turn, one of eleven, four a step
        assert all(len(slots) == 4 for slots in engine.rode[: with_call[-1]])


async def test_a_live_stream_rides_in_every_step_of_a_worker_full_of_recordings() -> None:
    engine = Gated()
    async with house(engine, max_streams=12, recorded_share=0.9) as h:
        files = [f"file-{number}" for number in range(10)]
        h.say(*(opening(name, recorded=True) for name in files), *(a for n in files for a in silence(40, n)))
        await h.until(engine.stepping.is_set)
        h.say(opening("call"), *silence(6.05, "call"), end("call"))
        engine.gate.set()
        assert isinstance(await h.over("call"), Ended)
        assert h.text("call") == SAID
        chunks = -(-int(6.05 * SAMPLE_RATE) // engine.info.chunk_samples)
        with_call = [slots for slots in engine.rode if 10 in slots]
        assert len(with_call) == chunks
        assert engine.rode[1 : 1 + chunks] == with_call
        assert max(len(slots) for slots in engine.rode) <= 1 + RECORDED_ROWS
        assert not any(h.heard(Ended, name) for name in files)  # they are not over: they yielded


async def test_thousands_of_openings_and_abortions_at_any_time_leak_no_slot() -> None:
    engine, chance = ScriptedEngine(), random.Random(7)
    async with house(engine, max_streams=8, recorded_share=0.5) as h:
        here: dict[str, bool] = {}
        for number in range(5000):
            name, recorded = f"s{number}", chance.random() < 0.6
            h.say(opening(name, recorded=recorded), gateway=f"g{number % 3}")
            if h.heard(Opened, name, f"g{number % 3}"):
                here[name] = recorded
                h.say(*silence(chance.choice([0, 0.1, 1]), name), gateway=f"g{number % 3}")
            for leaving in chance.sample(sorted(here), chance.randint(0, len(here))):
                of, last = f"g{int(leaving[1:]) % 3}", chance.choice([Abort, End, Flush])
                more = {"token": number} if last is Flush else {}
                h.say(last(stream=leaving, epoch=1, **more), gateway=of)
                if last is Abort:
                    del here[leaving]
            if number % 500 == 499:
                h.worker.gateway_lost("g1")
            if chance.random() < 0.3:
                await h.a_turn()
            here = {name: kind for name, kind in here.items() if name in h.worker._streams}
            assert h.worker.active == len(here)
            assert sum(here.values()) <= 4
            assert h.worker.recorded_room == min(4 - sum(here.values()), 8 - len(here))
            for told in h.sent.values():
                told.clear()
        for gateway in ("g0", "g1", "g2"):
            h.worker.gateway_lost(gateway)
        assert h.worker.active == 0
        await h.until(lambda: not engine._slots)
        h.say(*(opening(f"t{number}") for number in range(8)))
        assert all(h.heard(Opened, f"t{number}") for number in range(8))


async def test_draining_refuses_the_new_and_finishes_the_old() -> None:
    async with house() as h:
        h.say(opening("old"), *silence(3, "old"))
        await h.until(lambda: h.heard(Opened, "old"))
        h.worker.drain()
        assert h.worker.state is WorkerState.DRAINING
        h.say(opening("new"))
        assert await h.over("new") == Refused(stream="new", epoch=1, code="draining")
        h.say(*silence(3.05, "old", start=48_000), end("old"))
        assert isinstance(await h.over("old"), Ended)
        assert h.text("old") == SAID
        await h.until(lambda: h.running.done())


async def test_giving_up_fails_what_is_left_by_name() -> None:
    async with house() as h:
        h.say(opening(), *silence(1.05))
        await h.until(lambda: h.heard(Progress))
        h.worker.drain()
        h.worker.give_up()
        failed = await h.over()
        assert isinstance(failed, Failed)
        assert failed.code == "worker_stopping"
        assert failed.processed == h.heard(Progress)[-1].processed
        await h.until(lambda: h.running.done())


async def test_a_thousand_openings_and_closings_leave_every_slot_free() -> None:
    async with house(max_streams=8) as h:
        for number in range(1000):
            stream = f"s{number}"
            h.say(
                opening(stream),
                *silence(0.1, stream),
                end(stream) if number % 2 else Abort(stream=stream, epoch=1),
            )
            if number % 2:
                assert isinstance(await h.over(stream), Ended)
        await h.until(lambda: h.worker.active == 0)
        h.say(*(opening(f"t{number}") for number in range(8)))
        await h.until(lambda: all(h.heard(Opened, f"t{number}") for number in range(8)))
        assert not h.heard(Refused, "t7")
