"""Whoever kills a worker, whenever: every word is said, once, and every millisecond is billed, once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

import numpy as np
import pytest

from gateway.process import Recovery
from tests import recordings, spoken
from tests.failover.conftest import Nurseries
from tests.failover.nursery import Nursery
from tests.failover.speakers import Heard, gateway, silence_and_time, speak
from tests.failover.workers import Ward, beside, moved_runs

pytestmark = pytest.mark.timeout(600)

PACE = 8.0
MOVED, EQUAL_BUT_ONE_IN = 200, 200


def as_pcm(samples: spoken.Samples) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()


@dataclass(frozen=True)
class Case:
    engine: str
    talks: Sequence[bytes]
    moved: int  # so many runs at least
    at_once: int
    seed: int
    settings: dict[str, str] = field(default_factory=dict)


def scripted(moved: int, at_once: int = 60) -> Case:
    talks = [silence_and_time(seconds) for seconds in (21.0, 27.3, 34.6)]
    # While one is away, the other has all of them, and has not freed what has just ended.
    return Case("scripted", talks, moved, at_once, 1, {"MAX_STREAMS": "256"})


def nemo(moved: int, at_once: int = 8, **settings: str) -> Case:
    talks = [as_pcm(spoken.some(count, first)) for count, first in ((4, 0), (6, 4), (5, 9))]
    return Case("nemo", talks, moved, at_once, 2, settings)


def moonshine(moved: int) -> Case:
    city = np.asarray(recordings.samples("two_cities.wav")[: 16 * 16_000])
    return Case("moonshine", [as_pcm(city), as_pcm(recordings.samples("beckett.wav"))], moved, 3, 3)


@dataclass(frozen=True)
class Run:
    """A talk as it was heard, and as it is heard when nobody dies."""

    engine: str
    heard: Heard
    undisturbed: Heard

    @property
    def differences(self) -> list[tuple[str, list[str], list[str]]]:
        wanted, heard = self.undisturbed.words, self.heard.words
        matcher = SequenceMatcher(None, wanted, heard, autojunk=False)
        return [(how, wanted[a:b], heard[c:d]) for how, a, b, c, d in matcher.get_opcodes() if how != "equal"]


async def runs_of(case: Case, nursery: Nursery, lead_s: float | None = None) -> list[Run]:
    chance = random.Random(case.seed)
    recovery = Recovery() if lead_s is None else Recovery(lead_s=lead_s)
    region = f"{case.engine}-{nursery.born}"
    async with gateway(nursery.redis_url, region, recovery) as house:
        ward = Ward(house, nursery, case.settings)
        try:
            ward.bear()
            await ward.known()
            undisturbed = [await speak(house, talk, 50) for talk in case.talks]

            async def one(number: int) -> Heard:
                await asyncio.sleep(chance.random())
                heard = await speak(house, case.talks[number % len(case.talks)], PACE)
                heard.talk = number % len(case.talks)
                return heard

            numbered = await beside(
                ward.torment(chance), moved_runs(one, case.at_once, case.moved, 3 * case.moved + case.at_once)
            )
        finally:
            ward.clear()
    return [Run(case.engine, heard, undisturbed[heard.talk]) for heard in numbered]


@pytest.fixture(scope="module")
def runs(nurseries: Nurseries) -> list[Run]:
    cases = (scripted(moved=188), nemo(moved=10), moonshine(moved=3))
    return [run for case in cases for run in asyncio.run(runs_of(case, nurseries(case.engine)))]


def test_enough_of_them_were_moved_with_every_engine(runs: list[Run]) -> None:
    moved = [run for run in runs if run.heard.moves]
    assert {run.engine for run in moved} == {"scripted", "nemo", "moonshine"}
    assert len(moved) >= MOVED
    assert any(run.heard.moves > 1 for run in moved)


def test_no_word_is_lost_or_doubled(runs: list[Run]) -> None:
    for run in runs:
        assert [one for one in run.differences if len(one[1]) != len(one[2])] == [], run.engine


def test_words_are_those_of_the_undisturbed_run(runs: list[Run]) -> None:
    different = [(run.engine, run.differences) for run in runs if run.differences]
    assert len(different) <= len(runs) // EQUAL_BUT_ONE_IN, different


def test_the_bill_is_that_of_the_undisturbed_run(runs: list[Run]) -> None:
    for run in runs:
        run.heard.is_billed_once()
        assert run.heard.billed_ms == run.undisturbed.billed_ms


def test_numbers_and_times_go_on(runs: list[Run]) -> None:
    for run in runs:
        run.heard.is_in_order()


ALL_AGAIN = [
    scripted(moved=8, at_once=8),
    # Deterministic, each step is as large as any could be.
    nemo(moved=3, at_once=3, DETERMINISTIC="1", MAX_STREAMS="6"),
]


@pytest.mark.parametrize("case", ALL_AGAIN, ids=lambda case: case.engine)
async def test_who_hears_all_of_it_again_hears_the_same(case: Case, nurseries: Nurseries) -> None:
    """Words, times, confidences, and where one final ends and the next begins."""
    found = await runs_of(case, nurseries(case.engine), lead_s=3600.0)
    assert sum(run.heard.moves > 0 for run in found) >= case.moved
    for run in found:
        assert run.heard.whole == run.undisturbed.whole
        assert run.heard.billed_ms == run.undisturbed.billed_ms
