from __future__ import annotations

import asyncio

import pytest

from gateway.door import Overloaded
from gateway.errors import (
    AudioLimitReached,
    GatewayDraining,
    GatewayError,
    NoCapacity,
    NoWorker,
    TooManyOpenings,
    TooManyStreams,
)
from gateway.openings import Openings
from gateway.ramp import Pace
from gateway.tests.test_workers import EN, heartbeat, pool
from wire.messages import StreamOptions

FRENCH = StreamOptions(language="fr")


def openings(*, late_ms: float = 0, wait_at_most_s: float = 0.3, max_handshakes: int = 500) -> Openings:
    """A worker that takes a hundred at once and a hundred a second."""
    workers = pool(heartbeat("a", active=1, capacity=1000, late_ms=late_ms), pace=Pace(10, 200))
    return Openings(workers, wait_at_most_s, max_handshakes)


async def test_who_finds_a_turn_does_not_wait() -> None:
    door = openings()
    async with asyncio.timeout(0.2):
        for _ in range(99):
            await door.turn(EN)
            assert door.pool.choose(EN) is not None


async def test_a_crowd_is_let_in_one_after_the_other_and_the_rest_is_sent_away_at_once() -> None:
    door, order = openings(), []

    async def come(number: int) -> None:
        with door.handshake():
            await door.turn(EN)
            assert door.pool.choose(EN) is not None
        order.append(number)

    answers = await asyncio.gather(*(come(number) for number in range(200)), return_exceptions=True)
    # A hundred at once, and those whose turn comes within 0.3 s.
    assert order == list(range(130))
    refused = [answer for answer in answers if isinstance(answer, Overloaded)]
    assert len(refused) == 70
    assert len({error.retry_after_s for error in refused}) == 70
    assert door.handshakes == 0
    assert not door._waiting


async def test_an_overloaded_service_takes_nobody_and_one_that_becomes_so_meanwhile_takes_no_more() -> None:
    with pytest.raises(Overloaded):
        await openings(late_ms=201).turn(EN)
    door = openings()
    for _ in range(100):
        door.pool.choose(EN)
    waiting = asyncio.create_task(door.turn(EN))
    await asyncio.sleep(0)
    door.pool.hear(heartbeat("a", active=5, capacity=1000, late_ms=201), 0.0)
    with pytest.raises(Overloaded):
        await waiting
    assert not door._waiting


async def test_who_wants_what_nobody_serves_hears_that_from_the_link() -> None:
    async with asyncio.timeout(0.2):
        await openings(late_ms=201).turn(FRENCH)
        await Openings().turn(EN)


async def test_a_stream_of_several_lanes_takes_a_turn_for_each() -> None:
    with pytest.raises(Overloaded):
        await openings(wait_at_most_s=0).turn(EN, lanes=101)


async def test_no_more_handshakes_than_the_process_can_hold() -> None:
    door = openings(max_handshakes=2)
    with door.handshake(), door.handshake():
        with pytest.raises(Overloaded) as refused, door.handshake():
            pass
        assert refused.value.retry_after_s is not None
        assert door.handshakes == 2
    assert door.handshakes == 0


@pytest.mark.parametrize("error", [NoCapacity(), NoWorker(), TooManyStreams(), TooManyOpenings()])
async def test_those_who_are_refused_at_one_moment_do_not_come_back_at_one(error: GatewayError) -> None:
    door, told = openings(), set()
    least = error.retry_after_s or 1
    for _ in range(200):
        with pytest.raises(type(error)), door.handshake():
            raise type(error)(retry_after_s=least)
        with pytest.raises(type(error)) as refused, door.handshake():
            raise type(error)(retry_after_s=least)
        assert refused.value.retry_after_s is not None
        assert refused.value.retry_after_s >= least
        told.add(round(refused.value.retry_after_s))
    assert len(told) >= 4


@pytest.mark.parametrize("error", [GatewayDraining(), AudioLimitReached(retry_after_s=99)])
async def test_who_need_not_wait_or_knows_until_when_is_told_just_that(error: GatewayError) -> None:
    before = error.retry_after_s
    with pytest.raises(type(error)), openings().handshake():
        raise error
    assert error.retry_after_s == before
