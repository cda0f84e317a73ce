"""What happens to streams when the engine fails: through the whole worker."""

from __future__ import annotations

import asyncio
import random
from contextlib import nullcontext

import grpc
import pytest

from inference_worker.breaker import Breaker
from inference_worker.engine_room import EngineGone, EngineRoom
from inference_worker.engines.scripted import SENTENCES, ScriptedEngine, Trouble
from inference_worker.telemetry import Telemetry
from inference_worker.tests.house import end, house, opening, silence
from wire.messages import Abort, End, Ended, Failed, Opened, Progress, Refused, WorkerState

SAID = " ".join(SENTENCES[:2])  # in the first six seconds


async def test_a_failing_step_fails_its_streams_and_not_the_process() -> None:
    engine = ScriptedEngine(trouble=Trouble(fail_at_steps={1}))
    async with house(engine) as h:
        h.say(opening("a"), *silence(1, "a"))
        failed = await h.over("a")
        assert isinstance(failed, Failed)
        assert failed.code == "engine_failed"
        assert h.worker.active == 0
        h.say(opening("b"), *silence(1, "b"), end("b"))
        assert isinstance(await h.over("b"), Ended)
        assert h.worker.state is WorkerState.READY


async def test_one_stream_may_fail_while_the_others_go_on() -> None:
    engine = ScriptedEngine(trouble=Trouble(fail_slots={1}))
    async with house(engine) as h:
        for stream in ("a", "b", "c"):
            h.say(opening(stream), *silence(6.05, stream), end(stream))
        kinds = [type(await h.over(stream)) for stream in ("a", "b", "c")]
        assert kinds == [Ended, Failed, Ended]
        assert h.text("a") == h.text("c") == SAID


async def test_out_of_memory_costs_a_smaller_batch_and_no_stream() -> None:
    engine = ScriptedEngine(trouble=Trouble(memory_rows=3))
    async with house(engine) as h:
        streams = [f"s{number}" for number in range(16)]
        h.say(*(opening(stream) for stream in streams))
        for stream in streams:
            h.say(*silence(6.05, stream), end(stream))
        for stream in streams:
            assert isinstance(await h.over(stream), Ended)
            assert h.text(stream) == SAID
        assert h.worker.room.limit.size < 16
        page = h.telemetry.page()
        assert b"worker_out_of_memory_total 0.0" not in page
        assert b"worker_batch_capacity_rows 4096.0" in page
        assert f"worker_batch_limit_rows {h.worker.room.limit.size}.0".encode() in page


async def test_repeated_failures_make_it_unhealthy_until_it_works_again() -> None:
    engine = ScriptedEngine(trouble=Trouble(fail_always=True))
    engine.warm_up = lambda: None  # type: ignore[method-assign]
    async with house(engine, breaker=Breaker(first_pause_s=0.01)) as h:
        del engine.warm_up
        for number in range(3):
            h.say(opening(f"s{number}"), *silence(1, f"s{number}"))
            await h.over(f"s{number}")
        await h.until(lambda: h.worker.state is WorkerState.UNHEALTHY)
        h.say(opening("x"))
        assert await h.over("x") == Refused(stream="x", epoch=1, code="unhealthy")
        engine.trouble.fail_always = False
        await h.until(lambda: h.worker.state is WorkerState.READY)
        h.say(opening("y"), *silence(1, "y"), end("y"))
        assert isinstance(await h.over("y"), Ended)


async def test_a_fault_in_the_middle_of_a_batch_costs_the_guilty_stream_and_no_other() -> None:
    """Some rows have been answered, then a step raises: the guilty stream is found, words stay the same."""
    trouble = Trouble(memory_rows=3)
    async with house(ScriptedEngine(trouble=trouble)) as h:
        streams = [f"s{number}" for number in range(8)]
        h.say(*(opening(stream) for stream in streams))
        for stream in streams:
            h.say(*silence(3, stream))
        await h.until(lambda: all(h.heard(Progress, stream) for stream in streams))
        trouble.spoiling_slots.add(5)
        for stream in streams:
            h.say(*silence(3.05, stream, start=48_000), end(stream))
        ends = {stream: await h.over(stream) for stream in streams}
        failed = ends.pop("s5")
        assert isinstance(failed, Failed)
        assert failed.code == "engine_failed"
        assert failed.processed == h.heard(Progress, "s5")[-1].processed
        assert all(isinstance(ended, Ended) for ended in ends.values())
        assert {h.text(stream) for stream in ends} == {SAID}
        assert h.worker.state is WorkerState.READY


async def test_a_fault_that_changes_things_costs_its_batch_and_no_other_stream() -> None:
    engine = ScriptedEngine(atomic=False, trouble=Trouble())
    async with house(engine) as h:
        h.say(opening("early"), *silence(1, "early"), opening("idle"))
        await h.until(lambda: [p.processed for p in h.heard(Progress, "early")][-1:] == [15_680])
        engine.trouble.fail_at_steps.add(engine.steps + 1)
        h.say(opening("a"), opening("b"), *silence(0.14, "a"), *silence(0.14, "b"))
        assert [type(await h.over(stream)) for stream in "ab"] == [Failed, Failed]
        h.say(*silence(5.05, "early", start=16_000), end("early"), *silence(6.05, "idle"), end("idle"))
        for stream in ("early", "idle"):
            assert isinstance(await h.over(stream), Ended)
            assert h.text(stream) == SAID


async def test_ten_thousand_openings_and_abortions_between_faults_leave_nothing_behind() -> None:
    trouble, chance = Trouble(memory_rows=5), random.Random(11)
    engine = ScriptedEngine(trouble=trouble)
    async with house(engine, max_streams=16, breaker=Breaker(first_pause_s=0.0)) as h:
        here: set[str] = set()
        for number in range(10_000):
            name = f"s{number}"
            if h.worker.active == 16:
                h.say(Abort(stream=chance.choice(sorted(h.worker._streams)), epoch=1))
            h.say(opening(name, tenant=f"t{number % 7}", recorded=number % 5 == 0), *silence(0.3, name))
            here.add(name)
            for leaving in chance.sample(sorted(here), chance.randint(0, min(2, len(here)))):
                h.say(chance.choice([Abort, End])(stream=leaving, epoch=1))
                here.discard(leaving)
            trouble.spoiling_slots = {chance.randrange(16)} if chance.random() < 0.2 else set()
            trouble.fail_always = chance.random() < 0.02
            if chance.random() < 0.3:
                await h.a_turn()
            if number % 10 == 9:  # let it come to a step or two, whatever else is to do
                before = engine.steps
                trouble.fail_always = False
                await h.until(lambda: engine.steps > before or not h.worker.active)  # noqa: B023
                here.intersection_update(h.worker._streams)
            for told in h.sent.values():
                told.clear()
        trouble.fail_always, trouble.spoiling_slots = False, set()
        for leaving in list(h.worker._streams):
            h.say(Abort(stream=leaving, epoch=1))
        worker = h.worker
        assert worker.active == 0
        await h.until(lambda: worker.state is WorkerState.READY and not (engine._slots or worker._changes))
        left_over = (worker._streams, worker._leases, worker._changes, worker._ready, worker._recorded)
        assert not any(left_over)
        assert worker.recorded_room == 16
        page = h.telemetry.page()
        assert b"worker_streams_opened_total 10000.0" in page
        assert b"worker_active_streams 0.0" in page
        assert engine.steps >= 500  # a wait for one after every ten, unless nobody is there any more
        assert float(page.partition(b"\nworker_engine_errors_total ")[2].split()[0]) > 10
        h.say(*(opening(f"t{number}") for number in range(16)))
        assert all(h.heard(Opened, f"t{number}") for number in range(16))


async def test_while_the_breaker_is_open_streams_move_on_and_others_are_refused() -> None:
    """Those that did not ride in the failing steps would only fail later."""
    engine = ScriptedEngine(trouble=Trouble())
    async with house(engine, breaker=Breaker(first_pause_s=30.0)) as h:
        h.say(opening("quiet"))
        engine.trouble.fail_always = True
        for number in range(3):
            h.say(opening(f"s{number}"), *silence(1, f"s{number}"))
            await h.over(f"s{number}")
        assert await h.over("quiet") == Failed(stream="quiet", epoch=1, code="engine_failed", processed=0)
        assert h.worker.state is WorkerState.UNHEALTHY
        asked = engine.steps
        h.say(opening("x"), *silence(1, "x"))
        assert await h.over("x") == Refused(stream="x", epoch=1, code="unhealthy")
        assert engine.steps == asked
        assert b"worker_breaker_opened_total 1.0" in h.telemetry.page()


async def test_who_asks_for_streams_all_the_time_does_not_keep_the_engine_from_being_asked() -> None:
    engine = ScriptedEngine(trouble=Trouble())
    async with house(engine, breaker=Breaker(first_pause_s=0.01)) as h:
        engine.trouble.fail_always = True
        for number in range(3):
            h.say(opening(f"s{number}"), *silence(1, f"s{number}"))
            await h.over(f"s{number}")
        await h.until(lambda: h.worker.state is WorkerState.UNHEALTHY)
        engine.trouble.fail_always = False
        async with asyncio.timeout(10):
            while h.worker.state is not WorkerState.READY:
                h.say(opening("x"))
                await h.a_turn()
        h.say(opening("y", epoch=2), *silence(1, "y", epoch=2), end("y", epoch=2))
        assert isinstance(await h.over("y"), Ended)


class Says(grpc.RpcError):  # type: ignore[misc]
    def __init__(self, status: grpc.StatusCode) -> None:
        self.status = status

    def code(self) -> grpc.StatusCode:
        return self.status


@pytest.mark.parametrize(
    ("status", "given_up"),
    [(grpc.StatusCode.UNAVAILABLE, False), (grpc.StatusCode.UNAUTHENTICATED, True)],
)
async def test_an_engine_that_is_a_server_and_refuses_us_for_good_is_given_up_at_once(
    status: grpc.StatusCode, given_up: bool
) -> None:
    engine = ScriptedEngine()

    def warm_up() -> None:
        raise Says(status)

    engine.warm_up = warm_up  # type: ignore[method-assign]
    room = EngineRoom(engine, Telemetry(), lambda: 0.0, Breaker(first_pause_s=0.0))
    try:
        with pytest.raises(EngineGone) if given_up else nullcontext():
            await room.probe(asyncio.Event(), lambda: False)
    finally:
        room.stop()
