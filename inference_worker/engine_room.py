"""The engine as the loop sees it: in a thread of its own, behind a circuit breaker, and accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from faults import kinds
from faults.kinds import Kind
from inference_worker.batch import Batch
from inference_worker.breaker import Breaker
from inference_worker.engine_thread import Closing, EngineThread, Opening, Outcome, Work, do
from inference_worker.engines.base import Engine, EngineError
from inference_worker.places import place
from inference_worker.recycling import Drift
from inference_worker.scheduler import BatchLimit
from inference_worker.telemetry import Telemetry
from inference_worker.waiting import wait_at_most

log = structlog.get_logger("worker")


class EngineGone(EngineError):
    """The engine kept failing when it was asked whether it works. A fresh process may have better luck."""


class EngineRoom:
    def __init__(
        self,
        engine: Engine,
        telemetry: Telemetry,
        clock: Callable[[], float],
        breaker: Breaker | None = None,
        drift: Drift | None = None,
    ) -> None:
        self.engine, self.info = engine, engine.info
        self.limit = BatchLimit(engine.info.max_batch)
        self.breaker = breaker or Breaker()
        self._drift = drift or Drift(0)
        self._telemetry, self._clock = telemetry, clock
        self._thread = EngineThread()
        self._busy_since: float | None = None
        telemetry.batch_capacity.set(self.limit.most)
        telemetry.batch_limit.set(self.limit.size)

    @property
    def busy_s(self) -> float:
        """How long the engine has been in one call."""
        return 0.0 if self._busy_since is None else self._clock() - self._busy_since

    @property
    def has_backlog(self) -> bool:
        return self.engine.backlog and not self.breaker.open

    async def warm_up(self) -> None:
        await self._run(self.engine.warm_up)

    async def shut_down(self) -> None:
        await self._run(self.engine.shut_down)
        self.stop()

    def stop(self) -> None:
        self._thread.stop()

    async def do(self, changes: Sequence[Opening | Closing], batch: Batch) -> Outcome:
        """Open and close slots, then step. Raises nothing: what went wrong is in the outcome."""
        work = Work(changes, batch.rows, step=bool(batch.rows) or self.has_backlog)
        outcome = await self._run(lambda: do(self.engine, work, self.limit)) or Outcome()
        batch.done = self._clock()
        self._account(batch, outcome)
        return outcome

    async def probe(self, woken: asyncio.Event, in_a_hurry: Callable[[], bool]) -> None:
        """While the breaker is open: wait until it is time, and ask the engine whether it works."""
        while (left := self.breaker.retry_at - self._clock()) > 0:
            if in_a_hurry():
                return
            woken.clear()
            await wait_at_most(woken, left)
        try:
            await self.warm_up()
        except Exception as error:
            self.breaker.failed(self._clock())
            self._telemetry.engine_errors.inc()
            log.warning("the engine still fails", error=place(error))
            # One that is a server (Riva) and says that it will never serve us is not asked eight times.
            if self.breaker.hopeless or kinds.of_grpc(error) is Kind.FATAL:
                raise EngineGone("the engine is given up") from None
        else:
            self.breaker.probe_worked()
            log.info("the engine works again")

    async def _run(self, job: Callable[[], Outcome | None]) -> Outcome | None:
        self._busy_since = self._clock()
        try:
            return await self._thread.run(job)
        finally:
            self._busy_since = None

    def _account(self, batch: Batch, outcome: Outcome) -> None:
        telemetry, now = self._telemetry, self._clock()
        for rows, seconds in outcome.steps:
            telemetry.stepped(rows, self.info.bucket(rows), seconds, batch.any_live)
        if self._drift.factor and batch.all_live:
            for rows, seconds in outcome.steps:
                self._drift.add(rows, seconds, now)
        if outcome.out_of_memory:
            telemetry.out_of_memory.inc(outcome.out_of_memory)
            log.warning("the engine ran out of memory", rows=len(batch.rows), limit_rows=self.limit.size)
        telemetry.batch_limit.set(self.limit.size)
        for error in outcome.errors:
            telemetry.engine_errors.inc()
            log.error("the engine failed", error=error)
        if outcome.steps:
            self.breaker.worked()
        elif outcome.errors and not self.breaker.open and self.breaker.failed(now):
            telemetry.breaker_opened.inc()
            log.error("the engine failed too often and gets no more streams")
