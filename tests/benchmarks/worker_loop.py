"""What a chunk costs the worker beside its engine: to take it in, to put it into a step, to send its result.

Processor time of the event loop's thread, without the wire and the engine. All streams have a chunk in each
step, and there are as many tenants as there may be at a time: the dearest case for those who take turns.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import structlog

from inference_worker.engine_thread import Opening, Outcome
from inference_worker.engines.base import Output
from inference_worker.engines.scripted import ScriptedEngine
from inference_worker.loop import Worker
from inference_worker.telemetry import Telemetry
from wire.messages import Audio, Open, StreamOptions

STREAMS = (64, 256, 1000)
TENANTS = 50
ROUNDS = 40
WARM_UP = 5


def run(streams: Sequence[int] = STREAMS, rounds: int = ROUNDS) -> dict[str, Any]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    chunk_ms = ScriptedEngine().info.chunk_samples // 16
    print(
        f"worker_loop: microseconds of the event loop for a chunk of {chunk_ms} ms; the engine is left out.\n"
    )
    print("  streams    receive    to a step    to its result    together    of a core")
    rows = [asyncio.run(measure(count, rounds)) for count in streams]
    for row in rows:
        print(
            f"{row['streams']:9} {row['receive_us']:10.1f} {row['batch_us']:12.1f} {row['publish_us']:16.1f} "
            f"{row['row_us']:11.1f} {row['of_a_core']:11.1%}"
        )
    return {"chunk_ms": chunk_ms, "rows": rows}


async def measure(streams: int, rounds: int) -> dict[str, Any]:
    engine = ScriptedEngine(max_streams=streams)
    worker = Worker(engine, lambda gateway, items: None, Telemetry(), max_streams=streams)
    worker._started = True
    names = [f"s{number}" for number in range(streams)]
    options = StreamOptions(interim_results=True)
    worker.receive(
        "gateway",
        [
            Open(stream=name, epoch=1, tenant=f"t{number % TENANTS}", options=options)
            for number, name in enumerate(names)
        ],
    )
    for change in worker._changes:
        assert isinstance(change, Opening)
        worker._leases[change.lease.slot] = change.lease
    worker._changes.clear()
    chunk, spent = engine.info.chunk_samples, [0.0, 0.0, 0.0]
    pcm = bytes(2 * chunk)
    for turn in range(WARM_UP + rounds):
        items = [Audio(stream=name, epoch=1, position=turn * chunk, pcm=pcm) for name in names]
        times = [time.thread_time()]
        worker.receive("gateway", items)
        times.append(time.thread_time())
        batch = worker._next_batch()
        times.append(time.thread_time())
        done = (turn + 1) * chunk
        outcome = Outcome([Output(row.slot, done, done) for row in batch.rows], steps=[(streams, 0.01)])
        times.append(time.thread_time())
        worker._publish(batch, outcome)
        times.append(time.thread_time())
        assert len(batch.rows) == streams
        if turn >= WARM_UP:
            for part, (begin, end) in enumerate(((0, 1), (1, 2), (3, 4))):
                spent[part] += times[end] - times[begin]
    worker.room.stop()
    receive, batching, publish = (seconds / (rounds * streams) * 1e6 for seconds in spent)
    together = receive + batching + publish
    return {
        "streams": streams,
        "receive_us": receive,
        "batch_us": batching,
        "publish_us": publish,
        "row_us": together,
        "of_a_core": together / 1e6 * streams * 16_000 / chunk,
    }
