"""Whoever kills a worker, whenever: every word is said, once, and every millisecond is billed, once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest

from gateway.process import Process, Recovery
from tests import recordings, spoken
from tests.failover.nursery import Nursery
from tests.failover.speakers import Heard, gateway, speak

PACE = 5.0
DEADLINE_S = 60.0
# How often it waits until the streams have got over the kill before.
KIND = 0.8


def as_pcm(samples: spoken.Samples) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()


def silence_and_time(seconds: float) -> bytes:
    """The scripted engine says its script whatever it hears."""
    return bytes(int(seconds * 32_000))


@dataclass(frozen=True)
class Case:
    engine: str
    talks: Sequence[bytes]
    streams: int
    at_once: int
    seed: int


def scripted() -> Case:
    talks = [silence_and_time(seconds) for seconds in (21.0, 27.3, 34.6)]
    return Case("scripted", talks, streams=150, at_once=50, seed=1)


def nemo() -> Case:
    talks = [as_pcm(spoken.some(count, first)) for count, first in ((4, 0), (5, 4), (4, 9))]
    return Case("nemo", talks, streams=40, at_once=10, seed=2)


def moonshine() -> Case:
    city = recordings.samples("two_cities.wav")
    talks = [as_pcm(np.asarray(city[: 16 * 16_000])), as_pcm(recordings.samples("beckett.wav"))]
    return Case("moonshine", talks, streams=16, at_once=3, seed=3)


async def known(house: Process, names: set[str]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while {beat.worker for beat in house.link.pool.ready()} != names:  # noqa: ASYNC110 - it has no hook
            await asyncio.sleep(0.02)


async def caught_up(house: Process) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not all(stream.places.settled for stream in house.streams.all()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def kill_again_and_again(house: Process, nursery: Nursery, chance: random.Random) -> None:
    workers = dict([nursery.worker(), nursery.worker()])
    while True:
        await known(house, set(workers))
        if chance.random() < KIND:
            await caught_up(house)
        await asyncio.sleep(chance.uniform(0.0, 0.8))
        os.kill(workers.pop(chance.choice(sorted(workers))), signal.SIGKILL)
        workers.update([nursery.worker()])


@pytest.mark.parametrize("make", [scripted, nemo, moonshine])
async def test_equality(make, valkey_server: str, tmp_path: Path) -> None:
    case: Case = make()
    chance = random.Random(case.seed)
    with Nursery(case.engine, valkey_server, f"equal-{case.engine}", tmp_path) as nursery:
        async with gateway(valkey_server, nursery.region, Recovery()) as house:
            first, pid = nursery.worker()
            await known(house, {first})
            undisturbed = [await speak(house, talk, 50) for talk in case.talks]
            os.kill(pid, signal.SIGKILL)
            killer = asyncio.create_task(kill_again_and_again(house, nursery, chance))
            await known(house, {f"{case.engine}-{number}" for number in (2, 3)})
            room = asyncio.Semaphore(case.at_once)

            async def one(number: int) -> Heard:
                async with room:
                    await asyncio.sleep(chance.random())
                    return await speak(house, case.talks[number % len(case.talks)], PACE)

            runs = await asyncio.gather(*(one(number) for number in range(case.streams)))
            killer.cancel()
    different = 0
    for number, heard in enumerate(runs):
        heard.agrees()
        wanted = undisturbed[number % len(case.talks)]
        assert heard.billed_ms == wanted.billed_ms
        if heard.words != wanted.words:
            different += 1
            print(number, heard.moves, SequenceMatcher(None, wanted.words, heard.words).get_opcodes())
            print("   ", wanted.words)
            print("   ", heard.words)
    print(
        case.engine,
        "moved:",
        sum(heard.moves > 0 for heard in runs),
        "of",
        len(runs),
        "moves",
        sum(heard.moves for heard in runs),
        "different",
        different,
        "killed",
        nursery.born,
    )
    assert not different
