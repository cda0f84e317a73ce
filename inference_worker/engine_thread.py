"""The one thread that touches the engine, and the job it does between two looks at the event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from inference_worker.engines.base import ENGINE_FAILED, Engine, EngineOutOfMemory, Output, Row
from inference_worker.places import place
from inference_worker.scheduler import BatchLimit
from inference_worker.slots import Lease
from wire.messages import StreamOptions

Result = TypeVar("Result")

# A row that makes steps fail is found in a few more than log2(rows) failing steps. An engine that fails with
# three times as many has more wrong with it than a row or two.
FAILURES_TO_FIND_ONE = 3


class EngineThread:
    """A daemon: an engine that hangs must not keep a stopping worker from exiting."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="engine", daemon=True).start()

    async def run(self, job: Callable[[], Result]) -> Result:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def settle(result: Result | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)  # type: ignore[arg-type]
            else:
                future.set_exception(error)

        def work() -> None:
            result, error = None, None
            try:
                result = job()
            except Exception as raised:
                error = raised
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, result, error)

        self._jobs.put(work)
        return await future

    def stop(self) -> None:
        self._jobs.put(None)

    def _work(self) -> None:
        while job := self._jobs.get():
            job()


@dataclass(frozen=True)
class Opening:
    lease: Lease
    options: StreamOptions
    start: int


@dataclass(frozen=True)
class Closing:
    lease: Lease


@dataclass(frozen=True)
class Work:
    """What the engine is to do next: open and close slots in this order, then step."""

    changes: Sequence[Opening | Closing]
    rows: Sequence[Row]
    step: bool  # false: nothing but the changes


@dataclass
class Outcome:
    outputs: list[Output] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)  # what was raised and where; never what it said
    steps: list[tuple[int, float]] = field(default_factory=list)  # rows and seconds of each that worked
    out_of_memory: int = 0


def do(engine: Engine, work: Work, limit: BatchLimit) -> Outcome:
    """Runs in the engine's thread. Raises nothing: a failure belongs to the streams it happened to."""
    outcome = Outcome()
    for change in work.changes:
        slot = change.lease.slot
        try:
            if isinstance(change, Opening):
                outcome.failed.pop(slot, None)
                engine.open(slot, change.options, change.start)
            else:
                engine.close(slot)
        except Exception as error:
            outcome.errors.append(place(error))
            if isinstance(change, Opening):
                outcome.failed[slot] = ENGINE_FAILED
    if work.step:
        _step(engine, [row for row in work.rows if row.slot not in outcome.failed], limit, outcome)
    return outcome


def _step(engine: Engine, rows: list[Row], limit: BatchLimit, outcome: Outcome) -> None:
    runs = [rows]  # the next one last
    failures, most_failures = 0, FAILURES_TO_FIND_ONE * (len(rows).bit_length() + 1)
    while runs:
        run = runs.pop()
        batch, rest = run[: limit.size], run[limit.size :]
        if rest:
            runs.append(rest)
        started = time.perf_counter()
        try:
            result = engine.step(batch)
        except EngineOutOfMemory as error:
            outcome.out_of_memory += 1
            if len(batch) > 1:
                # Such a step has changed nothing, so the same rows go in again, fewer at a time.
                limit.out_of_memory(len(batch))
                runs.append(batch)
            else:
                _blame(batch, error, outcome)
        except Exception as error:
            failures += 1
            if engine.info.atomic and len(batch) > 1 and failures <= most_failures:
                # One row may have spoilt it for all: each half is tried alone, until that one is found.
                outcome.errors.append(place(error))
                half = len(batch) // 2
                runs += [batch[half:], batch[:half]]
            else:
                _blame(batch, error, outcome)
        else:
            limit.succeeded()
            if result.outputs or not result.failed:
                outcome.steps.append((len(batch), time.perf_counter() - started))
            outcome.outputs.extend(result.outputs)
            outcome.failed.update(result.failed)
            outcome.errors.extend(f"{code} of a single row" for code in result.failed.values())


def _blame(batch: list[Row], error: Exception, outcome: Outcome) -> None:
    outcome.errors.append(place(error))
    outcome.failed.update({row.slot: ENGINE_FAILED for row in batch})
