"""A worker's life as a process: it works until it is told to stop, breaks, hangs or is to be recycled; then
it says so, and leaves nothing unsaid."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import msgspec
import structlog
from redis.exceptions import RedisError

from faults.pauses import pause_s
from inference_worker import watchdog
from inference_worker.engines.base import EngineStartError
from inference_worker.inference_log import InferenceLog
from inference_worker.loop import Worker
from inference_worker.places import place
from inference_worker.recycling import Recycling
from inference_worker.telemetry import Telemetry
from inference_worker.transport import Transport
from wire import tasks
from wire.messages import Heartbeat, WorkerState

RECONNECT_S, LONGEST_RECONNECT_S = 0.5, 5.0
LAG_PROBE_S = 0.1
LAST_WORDS_S = 2.0
RECYCLING_CHECK_S = 0.5

log = structlog.get_logger("worker")


class Exit(IntEnum):
    """What the process ends with. BROKE and those after CANNOT_START ask whoever supervises it to start it
    again; what cannot start needs another configuration first."""

    STOPPED = 0
    BROKE = 1
    CANNOT_START = 2
    HUNG = 70
    RECYCLED = 75


@dataclass(frozen=True)
class Limits:
    drain_s: float
    step_s: float


class Life:
    def __init__(
        self,
        worker: Worker,
        transport: Transport,
        telemetry: Telemetry,
        heartbeat: Callable[[], Heartbeat],
        recycling: Recycling,
        limits: Limits,
        *,
        inference_log: InferenceLog | None = None,
    ) -> None:
        self._worker, self._transport, self._telemetry = worker, transport, telemetry
        self._heartbeat, self._recycling, self._limits = heartbeat, recycling, limits
        self._log = inference_log
        self._signals: asyncio.Queue[int] = asyncio.Queue()
        self._exit = Exit.STOPPED

    async def live(self) -> Exit:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._signals.put_nowait, number)
        working = asyncio.create_task(self._worker.run(), name="worker")
        parts = {
            working,
            asyncio.create_task(self._carry(), name="transport"),
            asyncio.create_task(self._stop(working), name="stopping"),
            asyncio.create_task(self._watch(), name="watchdog"),
        }
        if self._log is not None:
            parts.add(asyncio.create_task(self._log.keep(), name="inference log"))
        beside = [asyncio.create_task(self._recycle()), asyncio.create_task(self._measure_lag())]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if isinstance(error, EngineStartError):  # which the warm-up may find out
                    print(f"The inference worker cannot start: {error}", file=sys.stderr)
                    self._exit = Exit.CANNOT_START
                elif error:
                    log.error("the worker ends", part=task.get_name(), error=place(error))
                    self._exit = Exit.BROKE
            await self._last_words()
        finally:
            await tasks.end([*parts, *beside])
            watchdog.dismiss()
        if self._transport.address:
            await self._transport.close(msgspec.structs.replace(self._heartbeat(), state=WorkerState.STOPPED))
        if self._log is not None:
            self._log.close()
        log.info("worker stopped", code=int(self._exit))
        return self._exit

    async def _stop(self, working: asyncio.Task[None]) -> None:
        """SIGTERM or SIGINT drains, and so does recycling; another signal, or some time later, fails by name
        what is left."""
        await self._signals.get()
        log.info("worker draining", active=self._worker.active)
        self._worker.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.drain_s):
                await self._signals.get()
                self._exit = Exit.STOPPED  # we were told to, though we may have been leaving already
        self._worker.give_up()
        # The loop ends by itself now; an engine that hangs is not waited for.
        await asyncio.wait({working}, timeout=LAST_WORDS_S)

    async def _recycle(self) -> None:
        loop = asyncio.get_running_loop()
        while not (self._worker.started and (why := self._recycling.due(loop.time()))):  # noqa: ASYNC110
            await asyncio.sleep(RECYCLING_CHECK_S)
        if self._worker.state is not WorkerState.DRAINING:
            log.info("worker recycled", why=why)
            self._exit = Exit.RECYCLED
            self._signals.put_nowait(signal.SIGTERM)

    async def _watch(self) -> None:
        """Ends when the engine hangs for good."""

        def limit_s() -> float:
            return self._limits.step_s if self._worker.started else watchdog.WARM_UP_LIMIT_S

        await watchdog.until_stuck(lambda: self._worker.room.busy_s, limit_s)
        log.error("the engine hangs, and the worker leaves", active=self._worker.active, seconds=limit_s())
        self._exit = Exit.HUNG
        self._transport.beat_now()
        self._worker.give_up("engine_failed")

    async def _carry(self) -> None:
        transport, tries = self._transport, 0
        while not transport.address:
            try:
                await transport.open()
            except (RedisError, OSError) as error:
                log.warning("Redis cannot be reached; trying again", error=type(error).__name__)
                tries += 1
                await asyncio.sleep(pause_s(tries, first_s=RECONNECT_S, longest_s=LONGEST_RECONNECT_S))
        log.info("worker listening", address=transport.address, engine=self._worker.info.name)
        await transport.run(self._worker, self._heartbeat)

    async def _last_words(self) -> None:
        """Let the gateways acknowledge the last finals and failures."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                while not self._transport.settled:  # noqa: ASYNC110 (many small conditions, and soon over)
                    await asyncio.sleep(0.01)

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        alive_at = float("-inf")
        while True:
            due = loop.time() + LAG_PROBE_S
            await asyncio.sleep(LAG_PROBE_S)
            self._telemetry.loop_lag.add(max(0.0, loop.time() - due))
            # While it warms up, an engine may hold Python's lock for long.
            if self._worker.started and due - alive_at > 1:
                alive_at = due
                watchdog.alive()
