from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from inference_worker.engine_thread import Closing, EngineThread, Opening, Work, do
from inference_worker.engines.base import Row
from inference_worker.engines.scripted import ScriptedEngine, Trouble
from inference_worker.scheduler import BatchLimit
from inference_worker.slots import Lease
from wire.messages import StreamOptions


def row(slot: int, samples: int = 2560) -> Row:
    return Row(slot, np.zeros(samples, np.float32))


def engine_with(trouble: Trouble, slots: int = 8, *, atomic: bool = True) -> ScriptedEngine:
    engine = ScriptedEngine(trouble=trouble, max_streams=slots, max_batch=slots, atomic=atomic)
    for slot in range(slots):
        engine.open(slot, StreamOptions(), 0)
    return engine


def step(*slots: int) -> Work:
    return Work([], [row(slot) for slot in slots], step=True)


async def test_jobs_run_in_one_thread_that_is_not_the_loop_s() -> None:
    thread = EngineThread()
    names = await asyncio.gather(*(thread.run(lambda: threading.current_thread().name) for _ in range(3)))
    thread.stop()
    assert set(names) == {"engine"}


async def test_what_a_job_raises_arrives() -> None:
    thread = EngineThread()
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 / 0)
    assert await thread.run(lambda: 7) == 7
    thread.stop()


async def test_a_job_that_nobody_waits_for_any_more_does_no_harm() -> None:
    thread, gate = EngineThread(), threading.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await thread.run(gate.wait)
    gate.set()
    assert await thread.run(lambda: 7) == 7
    thread.stop()


def test_slots_change_in_order_before_the_step() -> None:
    engine = ScriptedEngine()
    lease = Lease(0, 1)
    outcome = do(
        engine,
        Work(
            [
                Opening(lease, StreamOptions(), 0),
                Closing(lease),
                Opening(Lease(0, 2), StreamOptions(), 16_000),
            ],
            [row(0)],
            step=True,
        ),
        BatchLimit(8),
    )
    assert [output.processed for output in outcome.outputs] == [16_000 + 2560]


def test_a_slot_that_cannot_be_opened_fails_alone() -> None:
    class Picky(ScriptedEngine):
        def open(self, slot: int, options: StreamOptions, start: int) -> None:
            if slot == 1:
                raise RuntimeError("secret words")
            super().open(slot, options, start)

    work = Work([Opening(Lease(slot, 1), StreamOptions(), 0) for slot in (0, 1)], [row(0), row(1)], step=True)
    outcome = do(Picky(), work, BatchLimit(8))
    assert outcome.failed == {1: "engine_failed"}
    assert [output.slot for output in outcome.outputs] == [0]
    assert "secret" not in "".join(outcome.errors)


def test_out_of_memory_halves_and_loses_no_row() -> None:
    limit = BatchLimit(8)
    outcome = do(engine_with(Trouble(memory_rows=3)), step(*range(8)), limit)
    assert sorted(output.slot for output in outcome.outputs) == list(range(8))
    assert {output.processed for output in outcome.outputs} == {2560}
    assert (outcome.failed, outcome.errors, outcome.out_of_memory, limit.size) == ({}, [], 2, 2)
    assert [rows for rows, _ in outcome.steps] == [2, 2, 2, 2]


def test_a_row_that_does_not_fit_alone_fails_by_name() -> None:
    outcome = do(engine_with(Trouble(memory_rows=0)), step(0, 1), BatchLimit(8))
    assert outcome.failed == {0: "engine_failed", 1: "engine_failed"}


def test_a_step_that_raises_fails_its_rows_only() -> None:
    engine, limit = engine_with(Trouble(fail_at_steps={2}), atomic=False), BatchLimit(4)
    outcome = do(engine, step(*range(8)), limit)
    assert set(outcome.failed) == {4, 5, 6, 7}
    assert {output.slot for output in outcome.outputs} == {0, 1, 2, 3}


@pytest.mark.parametrize("guilty", [{0}, {5}, {15}, {3, 12}])
def test_where_a_failed_step_changes_nothing_only_the_row_that_spoils_it_fails(guilty: set[int]) -> None:
    outcome = do(engine_with(Trouble(spoiling_slots=guilty), 16), step(*range(16)), BatchLimit(16))
    assert set(outcome.failed) == guilty
    assert sorted(output.slot for output in outcome.outputs) == sorted(set(range(16)) - guilty)
    assert {output.processed for output in outcome.outputs} == {2560}  # each was heard once


def test_a_step_that_fails_once_fails_nobody() -> None:
    outcome = do(engine_with(Trouble(fail_at_steps={1})), step(*range(8)), BatchLimit(8))
    assert outcome.failed == {}
    assert [output.processed for output in outcome.outputs] == [2560] * 8
    assert len(outcome.errors) == 1


def test_an_engine_that_always_fails_is_not_asked_about_every_row() -> None:
    engine = engine_with(Trouble(fail_always=True), 512)
    outcome = do(engine, step(*range(512)), BatchLimit(512))
    assert set(outcome.failed) == set(range(512))
    assert len(outcome.errors) == engine.steps < 64


def test_one_row_that_spoils_steps_and_too_little_memory_together() -> None:
    trouble, limit = Trouble(spoiling_slots={6}, memory_rows=3), BatchLimit(8)
    outcome = do(engine_with(trouble), step(*range(8)), limit)
    assert set(outcome.failed) == {6}
    assert sorted(output.slot for output in outcome.outputs) == [0, 1, 2, 3, 4, 5, 7]


def test_a_step_without_rows_that_raises_blames_nobody() -> None:
    outcome = do(engine_with(Trouble(fail_always=True)), step(), BatchLimit(4))
    assert (outcome.failed, len(outcome.errors)) == ({}, 1)


def test_no_step_is_taken_for_changes_alone() -> None:
    engine = ScriptedEngine()
    do(engine, Work([Opening(Lease(0, 1), StreamOptions(), 0)], [], step=False), BatchLimit(4))
    assert engine.steps == 0
