"""Admission over a real Valkey: leases, the audio of the day, and what is done without Valkey."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway import admission
from gateway.admission import Admission
from gateway.errors import AudioLimitReached, ControlDatabaseUnreachable, Unavailable
from gateway.quotas import accounts
from gateway.tests.doors import (
    DEADLINE_S,
    HandStream,
    Open,
    Record,
    enter,
    grant,
    is_,
    lets_in,
    open_now,
    region,
    until,
)
from tenants.limits import UNLIMITED, Limits

HOUR_MS = 3_600_000


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
async def gateway(valkey_server: str, record: Record) -> AsyncIterator[Open]:
    async with region(valkey_server, record) as make:
        yield make


# ---- leases


async def test_the_places_of_a_gateway_that_is_gone_come_free_and_those_of_a_living_one_stay(
    gateway: Open,
) -> None:
    dead = await gateway(started=False, lease_s=0.6)
    alive = await gateway(lease_s=0.6, renew_every_s=0.1)
    who = grant(plan=Limits(streams_at_once=2))
    await dead.enter(HandStream(who))
    await alive.enter(HandStream(who))
    assert not await lets_in(alive, who)
    await until(lambda: lets_in(alive, who))
    third = HandStream(who)
    await alive.enter(third)
    # Three times as long as a lease: only who is renewed is still in.
    for _ in range(6):
        await asyncio.sleep(0.3)
        assert not await lets_in(alive, who)


async def test_after_a_flush_the_open_streams_are_known_again(gateway: Open) -> None:
    door, who = await gateway(renew_every_s=0.05), grant(plan=Limits(streams_at_once=2))
    await enter(door, HandStream(who), HandStream(who))
    await _forget(door)
    await until(lambda: is_(open_now(door, who), 2))
    assert not await lets_in(door, who)


async def test_a_stream_that_no_worker_takes_gives_back_its_place_and_its_opening(gateway: Open) -> None:
    door, who = await gateway(), grant(project=Limits(streams_at_once=1, openings_a_minute=1))
    for _ in range(3):
        stream = HandStream(who)
        await door.enter(stream)
        door.leave(stream, opened=False)
        await until(lambda: is_(open_now(door, who), 0))


async def test_a_place_that_is_handed_over_is_the_other_ones(gateway: Open) -> None:
    door = await gateway()
    guest = HandStream(grant(Limits(streams_at_once=1)))
    await door.enter(guest)
    stream = HandStream(guest.grant, guest.id)
    door.hand_over(stream)
    assert not await lets_in(door, guest.grant)
    door.leave(stream)
    await until(lambda: lets_in(door, guest.grant))


async def test_a_client_that_hangs_up_while_it_is_let_in_holds_no_place(gateway: Open) -> None:
    door, who = await gateway(), grant(plan=Limits(streams_at_once=5))
    for _ in range(20):
        task = asyncio.create_task(door.enter(HandStream(who)))
        await asyncio.sleep(0)
        task.cancel()
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    await until(lambda: is_(open_now(door, who), 0))
    assert len(await enter(door, *(HandStream(who) for _ in range(9)))) == 5


async def test_without_limits_a_stream_has_a_lease_all_the_same(gateway: Open) -> None:
    door, who = await gateway(), grant()
    await enter(door, *(HandStream(who) for _ in range(3)))
    assert await open_now(door, who) == 3
    limited = replace(who, plan_limits=Limits(streams_at_once=3))
    assert not await lets_in(door, limited)


async def _forget(door: Admission) -> None:
    keys = [key async for key in door.redis.scan_iter(f"stenogate:limits:{{{door.keys.region}}}:*")]
    await door.redis.delete(*keys)


# ---- audio


async def test_the_audio_of_the_day_is_read_once_and_then_counted(gateway: Open, record: Record) -> None:
    door = await gateway(started=False)
    who = grant(plan=Limits(audio_hours_a_day=Decimal(1)))
    record.ms["plan"] = HOUR_MS - 1000
    streams = [HandStream(who) for _ in range(10)]
    assert len(await enter(door, *streams)) == 10
    assert record.asked == ["plan"]
    assert record.since is not None
    assert (record.since.tzinfo, record.since.hour, record.since.minute) == (UTC, 0, 0)

    streams[0].processed_ms = 400
    door.leave(streams[0])
    streams[1].processed_ms = 500
    await door.renew()
    await door.renew()
    assert [stream.failure for stream in streams] == [None] * 10
    streams[2].processed_ms = 100  # one channel or several: as it is billed
    await door.renew()
    ended = [stream for stream in streams if isinstance(stream.failure, AudioLimitReached)]
    assert ended == streams[1:]
    assert (ended[0].failure.code, ended[0].failure.close_code) == ("audio_limit_reached", 1008)  # type: ignore[union-attr]
    with pytest.raises(AudioLimitReached, match="1 hours a day, of the plan") as refused:
        await door.enter(HandStream(who))
    assert 0 < (refused.value.retry_after_s or 0) <= 24 * 3600
    assert await lets_in(door, grant(plan=Limits(audio_hours_a_day=Decimal(2))))
    assert record.asked == ["plan", "plan"]


async def test_who_hears_late_that_the_audio_is_not_known_has_it_read_once_all_the_same(
    gateway: Open, record: Record
) -> None:
    door = await gateway(started=False)
    who = grant(plan=Limits(audio_hours_a_day=Decimal(1)))
    await door.enter(HandStream(who))
    assert await door._begin_to_bring(accounts(who)[1], door.now())
    assert record.asked == ["plan"]


async def test_a_projects_audio_is_its_own(gateway: Open, record: Record) -> None:
    door = await gateway(started=False)
    who = grant(project=Limits(audio_hours_a_day=Decimal("0.001")))
    neighbour = replace(who, project_id=uuid.uuid4(), project_limits=UNLIMITED)
    mine, theirs = HandStream(who), HandStream(neighbour, processed_ms=10 * HOUR_MS)
    await enter(door, mine, theirs)
    await door.renew()
    assert (mine.failure, theirs.failure) == (None, None)
    mine.processed_ms = 3600
    await door.renew()
    assert isinstance(mine.failure, AudioLimitReached)
    assert theirs.failure is None


async def test_a_limit_that_is_lowered_ends_what_is_open_and_one_that_is_lifted_does_not(
    gateway: Open, record: Record
) -> None:
    door = await gateway(started=False)
    stream = HandStream(grant(plan=Limits(audio_hours_a_day=Decimal(5))), processed_ms=2 * HOUR_MS)
    await door.enter(stream)
    await door.renew()
    stream.grant = replace(stream.grant, plan_limits=UNLIMITED)
    await door.renew()
    assert stream.failure is None
    stream.grant = replace(stream.grant, plan_limits=Limits(audio_hours_a_day=Decimal(2)))
    await door.renew()
    assert isinstance(stream.failure, AudioLimitReached)


async def test_what_redis_has_forgotten_is_read_again_also_for_open_streams(
    gateway: Open, record: Record
) -> None:
    door = await gateway(renew_every_s=0.05)
    stream = HandStream(grant(plan=Limits(audio_hours_a_day=Decimal(1))))
    await door.enter(stream)
    await _forget(door)
    record.ms["plan"] = HOUR_MS

    async def ended() -> bool:
        return isinstance(stream.failure, AudioLimitReached)

    await until(ended)


async def test_a_new_day_begins_at_nothing(gateway: Open, record: Record) -> None:
    today = [datetime(2026, 5, 1, 23, 59, 30, tzinfo=UTC)]
    door = await gateway(started=False, now=lambda: today[0])
    who = grant(plan=Limits(audio_hours_a_day=Decimal(1)))
    record.ms["plan"] = HOUR_MS
    with pytest.raises(AudioLimitReached) as refused:
        await door.enter(HandStream(who))
    assert refused.value.retry_after_s == 30
    today[0], record.ms["plan"] = datetime(2026, 5, 2, tzinfo=UTC), 0
    await door.enter(HandStream(who))
    assert record.since == today[0]


async def test_with_a_usage_record_that_is_broken_whoever_is_limited_by_it_waits(
    gateway: Open, record: Record
) -> None:
    door = await gateway()
    record.broken = TimeoutError()  # it is there, only slow, and may know of much
    who = grant(project=Limits(audio_hours_a_day=Decimal(1), streams_at_once=1))
    for _ in range(3):
        with pytest.raises(Unavailable):
            await door.enter(HandStream(who))
    await door.enter(HandStream(grant(plan=Limits(streams_at_once=1))))
    record.broken = None
    await door.enter(HandStream(who))


@pytest.mark.parametrize("away", [ControlDatabaseUnreachable(), ConnectionRefusedError()])
async def test_without_the_usage_record_what_was_last_known_and_let_in_since_counts(
    gateway: Open, record: Record, away: Exception
) -> None:
    door = await gateway(started=False)
    who = grant(plan=Limits(audio_hours_a_day=Decimal(1)))
    record.ms["plan"] = HOUR_MS - 1000
    first = HandStream(who, processed_ms=400)
    await door.enter(first)
    await door.renew()
    record.broken = away
    await _forget(door)  # and Redis has lost its memory, too
    second = HandStream(who)
    await door.enter(second)
    second.processed_ms = 599
    await door.renew()
    assert (first.failure, second.failure) == (None, None)
    second.processed_ms = 600
    await door.renew()
    assert isinstance(second.failure, AudioLimitReached)
    with pytest.raises(AudioLimitReached):
        await door.enter(HandStream(who))


async def test_audio_that_nobody_could_confirm_is_asked_for_again_and_never_becomes_less(
    gateway: Open, record: Record
) -> None:
    door = await gateway(started=False)
    who = grant(plan=Limits(audio_hours_a_day=Decimal(1)))
    record.broken = ConnectionRefusedError()
    stream = HandStream(who, processed_ms=HOUR_MS - 1000)
    await door.enter(stream)  # nothing is known of this day: it begins here
    key = door.keys.audio(accounts(who)[1], door.now())
    assert 0 < await door.redis.pttl(key) <= admission.UNCONFIRMED_FOR.total_seconds() * 1000
    await door.renew()
    record.broken = None
    await door.redis.delete(key)  # its time is over
    await door.enter(HandStream(who))
    assert await door.redis.pttl(key) > 3_600_000  # confirmed, for the day
    stream.processed_ms = HOUR_MS  # the record has none of it yet
    await door.renew()
    assert isinstance(stream.failure, AudioLimitReached)


async def test_what_is_remembered_of_days_is_bounded(
    gateway: Open, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_REMEMBERED", 3)
    door = await gateway(started=False)
    for _ in range(10):
        await door.enter(HandStream(grant(plan=Limits(audio_hours_a_day=Decimal(1)))))
    assert len(door._remembered) == 3


# ---- Redis away


@pytest.fixture
def deaf_server() -> Iterator[str]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


async def test_with_redis_away_or_deaf_there_is_an_answer_in_time(
    record: Record, deaf_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "ANSWER_WITHIN_S", 0.2)
    for url in ("redis://127.0.0.1:1/0", deaf_server):
        door = Admission.at(url, "test", record)
        door.start()
        who = grant(plan=Limits(requests_a_second=1))
        async with asyncio.timeout(DEADLINE_S):
            asked = [door.enter(HandStream(who)) for _ in range(50)] + [door.request(who)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(answer) for answer in answers} == {Unavailable}
            assert answers[0].status == 503  # type: ignore[union-attr]
            await door.request(grant())  # nothing to ask
            # From here on nobody waits for it.
            assert door.breaker.open
            with pytest.raises(Unavailable) as refused:
                await door.enter(HandStream(who))
            assert 0 < (refused.value.retry_after_s or 0) <= 20
            await door.stop()


async def test_the_breaker_closes_by_itself_when_redis_is_back(gateway: Open) -> None:
    door = await gateway(renew_every_s=0.05)
    await door.enter(HandStream(grant()))
    loop = asyncio.get_running_loop()
    while not door.breaker.open:
        door.breaker.failed(loop.time())
    door.breaker.retry_at = loop.time() + 3600  # no customer tries
    await until(lambda: lets_in(door, grant()) if not door.breaker.open else _no())


async def test_a_client_that_hangs_up_while_it_tries_for_all_keeps_nobody_from_trying(gateway: Open) -> None:
    door = await gateway()
    while not door.breaker.open:
        door.breaker.failed(asyncio.get_running_loop().time() - 60)
    tries = asyncio.create_task(door.enter(HandStream(grant())))
    await asyncio.sleep(0)
    assert door.breaker.resting(asyncio.get_running_loop().time())
    tries.cancel()
    await asyncio.gather(tries, return_exceptions=True)
    assert await lets_in(door, grant())


async def _no() -> bool:
    return False


async def test_that_redis_refuses_is_no_reason_not_to_ask_it(gateway: Open) -> None:
    door, who = await gateway(started=False), grant(plan=Limits(requests_a_second=1))
    await door.redis.set(door.keys.requests(accounts(who)[1]), "no list of moments")
    for _ in range(5):
        with pytest.raises(Unavailable):
            await door.request(who)
    assert not door.breaker.open


async def test_what_could_not_be_told_is_told_when_redis_is_back(gateway: Open) -> None:
    door, who = await gateway(renew_every_s=0.05), grant(plan=Limits(streams_at_once=1))
    stream = HandStream(who)
    await door.enter(stream)
    nowhere = Admission.at("redis://127.0.0.1:1/0", "test", Record()).redis.connection_pool
    pool, door.redis.connection_pool = door.redis.connection_pool, nowhere
    door.leave(stream)
    with pytest.raises(Unavailable):
        await door.enter(HandStream(who))
    door.redis.connection_pool = pool
    await until(lambda: lets_in(door, who))


async def test_who_leaves_while_redis_is_away_is_remembered_within_a_bound(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_LEAVING", 10)
    door = Admission.at("redis://127.0.0.1:1/0", "test", record)
    for _ in range(30):
        with pytest.raises(Unavailable):
            await door.enter(HandStream(grant()))
    assert len(door._leaving) == 10
    await door.stop()


async def test_who_comes_back_keeps_the_place_that_the_connection_before_gives_up(gateway: Open) -> None:
    who = grant(plan=Limits(streams_at_once=1, openings_a_minute=1))
    door = await gateway(started=False)
    before = HandStream(who, processed_ms=5_000)
    after = HandStream(who, id=before.id, processed_ms=5_000)
    await door.enter(before)
    door.leave(before)  # Redis has not heard of it when it comes back
    await door.enter(after, 5_000)
    await door._say_who_left()
    assert await open_now(door, who) == 1
    door.leave(before)  # late, and once more
    await door.renew()
    await door._say_who_left()
    assert await open_now(door, who) == 1
    assert not await lets_in(door, who)
    assert door._owed.total() == 0  # and its audio has been counted
