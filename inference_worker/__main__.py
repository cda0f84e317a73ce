"""`python -m inference_worker`: put the parts together, run until SIGTERM, leave nothing unsaid."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Any, cast

import structlog

from config import env
from inference_worker import engines, health, scheduler
from inference_worker.engines.base import Engine, EngineStartError, MeasuresMemory
from inference_worker.inference_log import InferenceLog
from inference_worker.life import Exit, Life, Limits
from inference_worker.loop import Worker
from inference_worker.recording import Recorder
from inference_worker.recycling import Drift, Recycling
from inference_worker.shipping import Shipper
from inference_worker.telemetry import Telemetry
from inference_worker.transport import Transport
from inference_worker.watchdog import HANGS_AFTER_S
from wire.messages import SAMPLE_RATE, Heartbeat, WorkerState

# Docker waits ten seconds longer than DRAIN_SECONDS; the last words of the streams take up to five of them.
LAST_SHIPPING_S = 3.0

log = structlog.get_logger("worker")

VARIABLES = [
    env.LOG_LEVEL,
    env.REGION,
    env.REDIS_URL,
    env.ENGINE,
    env.ENGINE_THREADS,
    env.MODEL,
    env.MODEL_LANGUAGES,
    env.ATT_RIGHT_CONTEXT,
    env.COMPUTE_DTYPE,
    env.DEVICE,
    env.DETERMINISTIC,
    env.WORKER_NAME,
    env.WORKER_HOST,
    env.WORKER_PORT,
    env.INFERENCE_LOG_DIR,
    env.INFERENCE_LOG_DATABASE_URL,
    env.INFERENCE_LOG_MAX_BYTES,
    env.MAX_STREAMS,
    env.RECORDED_SHARE,
    env.BATCH_WAIT_MS,
    env.MAX_BATCH_LATENCY_MS,
    env.STEP_LIMIT_SECONDS,
    env.DRAIN_SECONDS,
    env.RECYCLE_AFTER_HOURS,
    env.RECYCLE_ON_DRIFT,
    env.DEBUG_TIMING,
    env.SCRIPTED_FILE,
    env.SCRIPTED_STEP_MS,
    env.SCRIPTED_ROW_MS,
]


def main() -> int:
    try:
        env.check(among=cast(list[env.Variable[object]], VARIABLES))
        set_up_logging(env.LOG_LEVEL.read())
        if env.INFERENCE_LOG_DIR.read() and not env.INFERENCE_LOG_DATABASE_URL.read():
            env.DATABASE_URL.read()
        engine = engines.create(env.ENGINE.read(), env.MAX_STREAMS.read())
    except (env.EnvError, EngineStartError) as error:
        print(f"The inference worker cannot start: {error}", file=sys.stderr)
        return Exit.CANNOT_START
    code = asyncio.run(work(engine))
    if code in (Exit.HUNG, Exit.BROKE):
        # A thread or a driver that hangs could keep the interpreter from ending.
        sys.stderr.flush()
        os._exit(code)
    return code


async def work(engine: Engine) -> Exit:
    telemetry = Telemetry(engine.info.chunk_samples / SAMPLE_RATE)
    telemetry.serves(engine.info)
    if isinstance(engine, MeasuresMemory):
        telemetry.watch_memory(engine.memory)
    region = env.REGION.read()
    limits = Limits(env.DRAIN_SECONDS.read(), env.STEP_LIMIT_SECONDS.read())
    drift = Drift(env.RECYCLE_ON_DRIFT.read())
    recycling = Recycling(env.RECYCLE_AFTER_HOURS.read(), drift, asyncio.get_running_loop().time())
    few, some, many = (milliseconds / 1000 for milliseconds in env.BATCH_WAIT_MS.read())
    transport = Transport(env.REDIS_URL.read(), region, telemetry)
    shipper = inference_log = None
    if env.INFERENCE_LOG_DIR.read():
        try:
            shipper, inference_log = begin_log(telemetry)
        except OSError as error:
            print(
                f"The inference worker cannot start: INFERENCE_LOG_DIR {env.INFERENCE_LOG_DIR.read()} cannot "
                f"be written ({error.strerror or error}). It is to be a folder that the worker's user "
                "owns, on a local disk that outlives the worker.",
                file=sys.stderr,
            )
            return Exit.CANNOT_START
    worker = Worker(
        engine,
        transport.send,
        telemetry,
        name=env.WORKER_NAME.read(),
        max_streams=env.MAX_STREAMS.read(),
        recorded_share=env.RECORDED_SHARE.read(),
        wait=scheduler.Wait(few, some, many, env.MAX_BATCH_LATENCY_MS.read() / 1000),
        changed=transport.beat_now,
        hangs_after_s=min(HANGS_AFTER_S, limits.step_s),
        drift=drift,
        recorder=Recorder(inference_log, engine.info.model),
        debug_timing=env.DEBUG_TIMING.read(),
    )

    def heartbeat() -> Heartbeat:
        info = engine.info
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

    def metrics() -> bytes:
        for state in WorkerState:
            telemetry.state.labels(state.value).set(state is worker.state)
        return telemetry.page()

    def parts() -> health.Parts:
        ready = worker.state is WorkerState.READY
        recording = {"inference log": inference_log.trouble} if inference_log else {}
        return {
            **recording,
            "engine": None if ready else f"{worker.state.value} ({engine.info.name})",
            "redis": None if transport.connected() else "not connected",
        }

    try:
        server = await health.serve(env.WORKER_HOST.read(), env.WORKER_PORT.read(), parts, metrics)
    except OSError as error:
        print(
            f"The inference worker cannot start: WORKER_PORT {env.WORKER_PORT.read()} on "
            f"{env.WORKER_HOST.read()} cannot be used ({error.strerror}).",
            file=sys.stderr,
        )
        return Exit.CANNOT_START
    async with server:
        code = await Life(
            worker, transport, telemetry, heartbeat, recycling, limits, inference_log=inference_log
        ).live()
        if shipper is not None and not await asyncio.to_thread(shipper.stop, LAST_SHIPPING_S):
            log.warning("some of the inference log is not in the database; the next worker here ships it")
        return code


def begin_log(telemetry: Telemetry) -> tuple[Shipper, InferenceLog]:
    """Raises `OSError`."""
    folder = Path(env.INFERENCE_LOG_DIR.read())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # ids and tags of customers are in it
    shipper = Shipper(env.INFERENCE_LOG_DATABASE_URL.read() or env.DATABASE_URL.read(), folder, telemetry)
    inference_log = InferenceLog(
        folder,
        env.WORKER_NAME.read(),
        env.REGION.read(),
        telemetry,
        ship=shipper.take,
        unshipped=shipper.unshipped_bytes,
        max_bytes=env.INFERENCE_LOG_MAX_BYTES.read(),
    )
    inference_log.begin()
    shipper.start()
    telemetry.watch_log(shipper.unshipped_bytes, shipper.behind_s)
    return shipper, inference_log


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
