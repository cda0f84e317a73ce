"""`python -m inference_worker`: put the parts together, run until SIGTERM, leave nothing unsaid."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from typing import Any, cast

import msgspec
import structlog
from redis.exceptions import RedisError

from config import env
from inference_worker import engines, health, scheduler
from inference_worker.engines.base import Engine, EngineStartError
from inference_worker.loop import Worker
from inference_worker.places import place
from inference_worker.telemetry import Telemetry
from inference_worker.transport import Transport
from wire import tasks
from wire.messages import Heartbeat, WorkerState

VARIABLES = [
    env.LOG_LEVEL,
    env.REGION,
    env.REDIS_URL,
    env.ENGINE,
    env.ENGINE_THREADS,
    env.WORKER_NAME,
    env.WORKER_HOST,
    env.WORKER_PORT,
    env.MAX_STREAMS,
    env.RECORDED_SHARE,
    env.BATCH_WAIT_MS,
    env.DRAIN_SECONDS,
    env.SCRIPTED_FILE,
    env.SCRIPTED_STEP_MS,
    env.SCRIPTED_ROW_MS,
]
RECONNECT_S = 1.0
LAG_PROBE_S = 0.1
LAST_WORDS_S = 2.0

log = structlog.get_logger("worker")


def main() -> int:
    try:
        env.check(among=cast(list[env.Variable[object]], VARIABLES))
        few, some, many = env.BATCH_WAIT_MS.read()
        wait = scheduler.Wait(few / 1000, some / 1000, many / 1000)
        set_up_logging(env.LOG_LEVEL.read())
        engine = engines.create(env.ENGINE.read(), env.MAX_STREAMS.read())
    except (env.EnvError, EngineStartError) as error:
        print(f"The inference worker cannot start: {error}", file=sys.stderr)
        return 2
    return asyncio.run(work(engine, wait))


async def work(engine: Engine, wait: scheduler.Wait) -> int:
    telemetry = Telemetry()
    region = env.REGION.read()
    transport = Transport(env.REDIS_URL.read(), region, telemetry)
    worker = Worker(
        engine,
        transport.send,
        telemetry,
        name=env.WORKER_NAME.read(),
        max_streams=env.MAX_STREAMS.read(),
        recorded_share=env.RECORDED_SHARE.read(),
        wait=wait,
        changed=transport.beat_now,
    )

    def heartbeat() -> Heartbeat:
        info = engine.info
        for state in WorkerState:
            telemetry.state.labels(state.value).set(state is worker.state)
        return Heartbeat(
            worker=worker.name,
            address=transport.address,
            region=region,
            state=worker.state,
            engine=info.name,
            model=info.model,
            languages=info.languages,
            capacity=worker.slots.size,
            active=worker.active,
            recorded_room=worker.recorded_room,
            step_p95_ms=telemetry.recent_steps.p95_ms(),
            queue_p95_ms=telemetry.recent_queue.p95_ms(),
        )

    def parts() -> health.Parts:
        ready = worker.state is WorkerState.READY
        return {
            "engine": None if ready else f"{worker.state.value} ({engine.info.name})",
            "redis": None if transport.connected() else "not connected",
        }

    try:
        server = await health.serve(env.WORKER_HOST.read(), env.WORKER_PORT.read(), parts, telemetry.page)
    except OSError as error:
        print(
            f"The inference worker cannot start: WORKER_PORT {env.WORKER_PORT.read()} on "
            f"{env.WORKER_HOST.read()} cannot be used ({error.strerror}).",
            file=sys.stderr,
        )
        return 2
    async with server:
        return await _live(worker, transport, telemetry, heartbeat)


async def _live(
    worker: Worker, transport: Transport, telemetry: Telemetry, heartbeat: Callable[[], Heartbeat]
) -> int:
    working = asyncio.create_task(worker.run(), name="worker")
    stopping = _stop_on_signals(worker, working)
    lag = asyncio.create_task(_measure_lag(telemetry))
    carrying = asyncio.create_task(_carry(transport, worker, heartbeat), name="transport")
    code = 0
    try:
        done, _ = await asyncio.wait({working, carrying, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task is not stopping and (error := task.exception()):
                log.error("the worker ends", part=task.get_name(), error=place(error))
                code = 1
        await _last_words(transport)
    finally:
        await tasks.end([working, stopping, lag, carrying])
    if transport.address:
        await transport.close(msgspec.structs.replace(heartbeat(), state=WorkerState.STOPPED))
    log.info("worker stopped", code=code)
    return code


def _stop_on_signals(worker: Worker, working: asyncio.Task[None]) -> asyncio.Task[None]:
    """SIGTERM or SIGINT drains; a second one, or DRAIN_SECONDS later, fails by name what is left."""
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)

    async def stop() -> None:
        await signals.get()
        log.info("worker draining", active=worker.active)
        worker.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(env.DRAIN_SECONDS.read()):
                await signals.get()
        worker.give_up()
        # The loop ends by itself now; an engine that hangs is not waited for.
        await asyncio.wait({working}, timeout=LAST_WORDS_S)

    return asyncio.create_task(stop(), name="stopping")


async def _carry(transport: Transport, worker: Worker, heartbeat: Callable[[], Heartbeat]) -> None:
    while not transport.address:
        try:
            await transport.open()
        except (RedisError, OSError) as error:
            log.warning("Redis cannot be reached; trying again", error=type(error).__name__)
            await asyncio.sleep(RECONNECT_S)
    log.info("worker listening", address=transport.address, engine=worker.info.name)
    await transport.run(worker, heartbeat)


async def _last_words(transport: Transport) -> None:
    """Let the gateways acknowledge the last finals and failures."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORDS_S):
            while not transport.settled:  # noqa: ASYNC110 (many small conditions, and soon over)
                await asyncio.sleep(0.01)


async def _measure_lag(telemetry: Telemetry) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_PROBE_S
        await asyncio.sleep(LAG_PROBE_S)
        telemetry.loop_lag.observe(max(0.0, loop.time() - due))


def set_up_logging(level: str) -> None:
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


if __name__ == "__main__":
    sys.exit(main())
