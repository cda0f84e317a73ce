"""The process of `failover` that has a gateway's parts in it: prints what each move took, as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gateway.stream import Stream
    from tests.failover.nursery import Nursery
    from tests.failover.speakers import Heard
    from tests.failover.workers import Ward

LOOK_EVERY_S = 0.005
BETWEEN_S = (1.0, 3.0)
# Before the first kill, so that there is as much to replay as in a long stream.
FIRST_S = 20.0
ROUND_S = 15.0
WITHIN_S = 60.0


def talk(engine: str, seconds: float) -> bytes:
    """Speech without long pauses, so that the next partial is never far."""
    from tests import recordings, spoken
    from tests.failover.speakers import silence_and_time

    if engine == "scripted":
        return silence_and_time(seconds)
    samples = spoken.recording() if engine == "nemo" else np.asarray(recordings.samples("two_cities.wav"))
    times = int(seconds * 16_000 / len(samples)) + 1
    return (np.tile(samples, times)[: int(seconds * 16_000)] * 32767).astype("<i2").tobytes()


async def measure(nursery: Nursery, count: int, rounds: int) -> list[dict[str, float]]:
    from gateway.process import Recovery
    from tests.failover.speakers import Heard, gateway, speak
    from tests.failover.workers import Ward

    chance = random.Random(1)
    pcm = talk(nursery.engine, FIRST_S + ROUND_S * (rounds + 1))
    async with gateway(nursery.redis_url, "bench", Recovery()) as house:
        ward = Ward(house, nursery)
        for _ in range(2):
            ward.bear()
        await ward.known()
        hearers = [Heard() for _ in range(count)]
        speaking = [asyncio.create_task(speak(house, pcm, 1.0, heard)) for heard in hearers]
        moves = []
        try:
            await asyncio.sleep(FIRST_S)
            for _ in range(rounds):
                await asyncio.sleep(chance.uniform(*BETWEEN_S))
                moves += await kill_one(ward, {heard.id: heard for heard in hearers}, chance)
                ward.bear()
                await ward.known()
                await ward.caught_up()
        finally:
            for task in speaking:
                task.cancel()
            await asyncio.wait(speaking)
            ward.clear()
    return moves


async def kill_one(ward: Ward, heard: dict[str, Heard], chance: random.Random) -> list[dict[str, float]]:
    name = chance.choice(sorted(ward.pids))
    lost = [stream for stream in ward.house.streams.all() if worker_of(stream) == name]
    clock = asyncio.get_running_loop().time
    killed_at = clock()
    ward.kill(name)
    async with asyncio.timeout(WITHIN_S):
        return list(await asyncio.gather(*(follow(stream, heard[stream.id], killed_at) for stream in lost)))


def worker_of(stream: Stream) -> str:
    return stream.places.opened(stream.id).worker


async def follow(stream: Stream, heard: Heard, killed_at: float) -> dict[str, float]:
    clock = asyncio.get_running_loop().time
    (lane,) = stream.session.lanes
    epoch = lane.epoch
    while lane.epoch == epoch:  # noqa: ASYNC110 - looking from outside is what is measured
        await asyncio.sleep(LOOK_EVERY_S)
    placed_at, replayed = clock(), lane.sent - lane._worker_processed
    while lane.catching_up:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_EVERY_S)
    caught_up_at = clock()
    while not heard.said_at or heard.said_at[-1] < caught_up_at - LOOK_EVERY_S:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_EVERY_S)
    said_at = next(at for at in heard.said_at if at >= caught_up_at - LOOK_EVERY_S)
    replay = caught_up_at - placed_at
    return {
        "found_out": placed_at - killed_at,
        "replay": replay,
        "replayed_audio": replayed / 16_000,
        "next": said_at - killed_at,
        "beyond": said_at - killed_at - replay,
    }


def main(engine: str, count: int, rounds: int) -> None:
    import django

    django.setup()
    logging.disable(logging.WARNING)
    from tests.failover.nursery import Nursery

    with Nursery(engine, os.environ["REDIS_URL"], Path(os.environ["FAILOVER_FOLDER"])) as nursery:
        print(json.dumps(asyncio.run(measure(nursery, count, rounds))))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
