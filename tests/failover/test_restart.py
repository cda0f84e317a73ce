"""Workers that leave in good order, and those that leave nobody behind."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.events import Problem, Summary
from gateway.process import Recovery
from tests.failover.conftest import Nurseries
from tests.failover.nursery import Nursery
from tests.failover.speakers import Heard, gateway, silence_and_time, speak
from tests.failover.workers import Ward, until

PACE = 10.0
TALK = silence_and_time(30.0)


@asynccontextmanager
async def ward(nursery: Nursery, region: str, recovery: Recovery, **settings: str) -> AsyncIterator[Ward]:
    async with gateway(nursery.redis_url, region, recovery) as house:
        made = Ward(house, nursery, settings)
        try:
            yield made
        finally:
            made.clear()


def speaking(ward: Ward, count: int) -> list[asyncio.Task[Heard]]:
    return [asyncio.create_task(speak(ward.house, TALK, PACE)) for _ in range(count)]


async def spoken(ward: Ward, seconds: float) -> None:
    """Of every stream, so much has been heard."""
    await until(
        lambda: (
            bool(ward.house.streams.all())
            and all(stream.processed_ms >= seconds * 1000 for stream in ward.house.streams.all())
        )
    )


async def test_a_rolling_restart_of_all_workers_loses_nothing(nurseries: Nurseries) -> None:
    long, enough = silence_and_time(200.0), asyncio.Event()
    async with ward(nurseries("scripted"), "rolling", Recovery(), DRAIN_SECONDS="60") as w:
        old = [w.bear() for _ in range(3)]
        await w.known()
        undisturbed = await speak(w.house, long, 200)
        streams = [asyncio.create_task(speak(w.house, long, 5.0, enough=enough)) for _ in range(40)]
        await spoken(w, 1.0)
        for name in old:
            w.bear()
            await w.known()
            w.signal(name, signal.SIGTERM)
            await w.ends(name)  # without waiting for its streams to end, for they have moved
            assert len(w.house.streams.all()) == len(streams)
            await w.caught_up()
        enough.set()
        heard = await asyncio.gather(*streams)
    assert all(one.moves for one in heard)
    spoken_words = [word for final in undisturbed.finals for word in final.words]
    for one in heard:
        one.is_in_order()
        one.is_billed_once()
        assert one.words == [word.text for word in spoken_words if word.end_ms <= one.billed_ms]


async def test_where_others_have_less_room_than_it_has_streams_the_rest_stay(nurseries: Nurseries) -> None:
    """They finish where they are, since nobody has failed yet."""
    async with ward(nurseries("scripted"), "narrow", Recovery(move_within_s=0.2), DRAIN_SECONDS="60") as w:
        first = w.bear()
        await w.known()
        undisturbed = await speak(w.house, TALK, 50)
        streams = speaking(w, 6)
        await spoken(w, 1.0)
        w.settings["MAX_STREAMS"] = "2"
        w.bear()
        await w.known()
        w.signal(first, signal.SIGTERM)
        heard = await asyncio.gather(*streams)
        await w.ends(first)
    assert [one.words for one in heard] == [undisturbed.words] * 6
    assert sum(one.moves > 0 for one in heard) >= 2  # more, when those have ended before the rest


async def test_a_worker_told_to_stop_with_nobody_else_there_finishes_its_streams(
    nurseries: Nurseries,
) -> None:
    async with ward(nurseries("scripted"), "alone", Recovery(), DRAIN_SECONDS="60") as w:
        name = w.bear()
        await w.known()
        (stream,) = speaking(w, 1)
        await spoken(w, 1.0)
        w.signal(name, signal.SIGTERM)
        heard = await stream
        await w.ends(name)
    heard.is_billed_once()
    assert (heard.moves, heard.billed_ms) == (0, 30_000)


async def test_a_stream_that_a_worker_stopped_too_early_for_goes_on_with_the_next(
    nurseries: Nurseries,
) -> None:
    async with ward(nurseries("scripted"), "hurried", Recovery(), DRAIN_SECONDS="1") as w:
        name = w.bear()
        await w.known()
        undisturbed = await speak(w.house, TALK, 50)
        (stream,) = speaking(w, 1)
        await spoken(w, 1.0)
        w.signal(name, signal.SIGTERM)
        await w.ends(name)
        w.bear()
        heard = await stream
    assert heard.moves
    assert heard.words == undisturbed.words


async def test_a_stream_that_a_worker_stopped_too_early_for_ends_by_name_in_the_end(
    nurseries: Nurseries,
) -> None:
    recovery = Recovery(move_within_s=0.3)
    async with ward(nurseries("scripted"), "dropped", recovery, DRAIN_SECONDS="1") as w:
        name = w.bear()
        await w.known()
        (stream,) = speaking(w, 1)
        await spoken(w, 1.0)
        w.signal(name, signal.SIGTERM)
        heard = await stream
    assert isinstance(heard.end, Problem)
    assert heard.end.error.code == "worker_lost"  # the engine has not failed


async def test_a_killed_worker_without_another_is_waited_for(nurseries: Nurseries) -> None:
    async with ward(nurseries("scripted"), "late", Recovery(move_within_s=30.0)) as w:
        name = w.bear()
        await w.known()
        undisturbed = await speak(w.house, TALK, 50)
        (stream,) = speaking(w, 1)
        await spoken(w, 3.0)
        w.kill(name)
        await w.known()  # that there is nobody
        w.bear()
        heard = await stream
    assert heard.moves == 1
    assert heard.words == undisturbed.words
    heard.is_billed_once()


async def test_a_killed_worker_without_another_is_named_in_the_end(nurseries: Nurseries) -> None:
    async with ward(nurseries("scripted"), "never", Recovery(move_within_s=0.5)) as w:
        name = w.bear()
        await w.known()
        (stream,) = speaking(w, 1)
        await spoken(w, 3.0)
        w.kill(name)
        heard = await stream
    assert isinstance(heard.end, Problem)
    error = heard.end.error
    assert (error.code, error.status, error.close_code) == (
        "worker_lost",
        503,
        4503,
    )  # which may be tried again
    assert 0 < heard.billed_ms <= 30_000
    assert not isinstance(heard.end, Summary)
