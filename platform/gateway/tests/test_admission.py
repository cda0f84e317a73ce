"""Admission against a real Valkey: what two gateways let in between them, and what is given back."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import admission
from gateway.admission import Admission
from gateway.errors import (
    AudioLimitReached,
    GatewayError,
    LimitReached,
    TooManyOpenings,
    TooManyRequests,
    TooManyStreams,
    Unavailable,
)
from gateway.quotas import Account
from tenants.access import KeyGrant
from tenants.limits import UNLIMITED, Limits

DEADLINE_S = 10.0
HOUR_MS = 3_600_000
Open = Callable[..., Awaitable[Admission]]


def grant(plan: Limits = UNLIMITED, project: Limits = UNLIMITED, **changes: Any) -> KeyGrant:
    made = KeyGrant(
        tenant_id=uuid.uuid4(),
        project_id=uuid.uuid4(),
        key_id=uuid.uuid4(),
        prefix="p" * 12,
        sha256=bytes(32),
        scopes=frozenset({"listen"}),
        expires_at=None,
        revoked_at=None,
        allowed_origins=frozenset(),
        tenant_state="active",
        plan="Small",
        plan_limits=plan,
        project_limits=project,
    )
    return replace(made, **changes)


@dataclass(eq=False)
class HandStream:
    grant: KeyGrant
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    processed_ms: int = 0
    failure: GatewayError | None = None

    def fail(self, error: GatewayError) -> None:
        self.failure = error


class Record:
    """The usage record: what is in it, and how often it was asked."""

    def __init__(self) -> None:
        self.ms: dict[str, int] = {"project": 0, "plan": 0}
        self.asked: list[str] = []
        self.since: datetime | None = None
        self.broken = False

    async def __call__(self, account: Account, since: datetime) -> int:
        self.asked.append(account.kind)
        self.since = since
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("no database")
        return self.ms[account.kind]


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
async def gateway(valkey_server: str, record: Record) -> AsyncIterator[Open]:
    """Makes gateways of one region that no other test has."""
    region = f"test-{uuid.uuid4().hex[:8]}"
    async with AsyncExitStack() as leaving:

        async def make(*, started: bool = True, **options: Any) -> Admission:
            made = Admission.at(valkey_server, region, record, **options)
            if started:
                made.start()
            leaving.push_async_callback(made.stop)
            return made

        yield make


async def enter(door: Admission, *streams: HandStream) -> list[HandStream]:
    """All at once. Those who were let in; the others were refused for the streams at once."""
    answers = await asyncio.gather(*(door.enter(stream) for stream in streams), return_exceptions=True)
    assert all(answer is None or isinstance(answer, TooManyStreams) for answer in answers), answers
    return [stream for stream, answer in zip(streams, answers, strict=True) if answer is None]


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await look():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def lets_in(door: Admission, who: KeyGrant) -> bool:
    """Whether there is a place, without keeping it."""
    stream = HandStream(who)
    try:
        await door.enter(stream)
    except LimitReached:
        return False
    door.leave(stream, opened=False)
    await door._say_who_left()
    return True


async def open_now(door: Admission, who: KeyGrant) -> int:
    account = Account("plan", who.tenant_id, who.tenant_id, UNLIMITED, "")
    return int(await door.redis.zcard(door.keys.streams(account)))


# ---- streams at once


async def test_two_hundred_at_once_at_two_gateways_get_the_fifty_places_there_are(gateway: Open) -> None:
    who, rival = grant(project=Limits(streams_at_once=50)), grant(project=Limits(streams_at_once=50))
    one, two = await gateway(), await gateway()
    crowd = [HandStream(who) for _ in range(200)]
    strangers = [HandStream(rival) for _ in range(20)]
    first, second, others = await asyncio.gather(
        enter(one, *crowd[:100]), enter(two, *crowd[100:]), enter(two, *strangers)
    )
    assert len(first) + len(second) == 50
    assert len(others) == 20
    for door, inside in ((one, first), (two, second)):
        for stream in inside:
            door.leave(stream)
    await until(lambda: _is(open_now(one, who), 0))
    assert len(await enter(one, *(HandStream(who) for _ in range(200)))) == 50


async def _is(number: Awaitable[int], wanted: int) -> bool:
    return await number == wanted


async def test_a_plan_counts_all_projects_of_its_tenant_together(gateway: Open) -> None:
    door = await gateway()
    first = grant(plan=Limits(streams_at_once=3), project=Limits(streams_at_once=2))
    second = replace(first, project_id=uuid.uuid4())
    assert len(await enter(door, *(HandStream(first) for _ in range(5)))) == 2
    with pytest.raises(TooManyStreams, match="2, of this project"):
        await door.enter(HandStream(first))
    assert len(await enter(door, *(HandStream(second) for _ in range(5)))) == 1
    with pytest.raises(TooManyStreams, match="3, of the plan 'Small', for all projects") as refused:
        await door.enter(HandStream(second))
    assert refused.value.status == 429
    assert refused.value.retry_after_s


async def test_asking_twice_for_one_stream_takes_one_place_and_leaving_twice_frees_one(gateway: Open) -> None:
    door, who = await gateway(), grant(plan=Limits(streams_at_once=2, openings_a_minute=3))
    stream, other = HandStream(who), HandStream(who)
    await door.enter(stream)
    await door.enter(stream)
    await door.enter(other)
    door.leave(stream)
    door.leave(stream)
    await until(lambda: _is(open_now(door, who), 1))
    await door.enter(HandStream(who))


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
    await until(lambda: _is(open_now(door, who), 2))
    assert not await lets_in(door, who)


async def _forget(door: Admission) -> None:
    keys = [key async for key in door.redis.scan_iter(f"stenogate:limits:{{{door.keys.region}}}:*")]
    await door.redis.delete(*keys)


async def test_a_stream_that_no_worker_takes_gives_back_its_place_and_its_opening(gateway: Open) -> None:
    door, who = await gateway(), grant(project=Limits(streams_at_once=1, openings_a_minute=1))
    for _ in range(3):
        stream = HandStream(who)
        await door.enter(stream)
        door.leave(stream, opened=False)
        await until(lambda: _is(open_now(door, who), 0))


async def test_a_client_that_hangs_up_while_it_is_let_in_holds_no_place(gateway: Open) -> None:
    door, who = await gateway(), grant(plan=Limits(streams_at_once=5))
    for _ in range(20):
        task = asyncio.create_task(door.enter(HandStream(who)))
        await asyncio.sleep(0)
        task.cancel()
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    await until(lambda: _is(open_now(door, who), 0))
    assert len(await enter(door, *(HandStream(who) for _ in range(9)))) == 5


async def test_without_limits_a_stream_has_a_lease_all_the_same(gateway: Open) -> None:
    door, who = await gateway(), grant()
    await enter(door, *(HandStream(who) for _ in range(3)))
    assert await open_now(door, who) == 3
    limited = replace(who, plan_limits=Limits(streams_at_once=3))
    assert not await lets_in(door, limited)


# ---- rates


async def test_new_streams_a_minute(gateway: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "OPENINGS_WINDOW_S", 1.5)
    door, who = await gateway(), grant(plan=Limits(openings_a_minute=2), project=Limits(streams_at_once=3))
    for _ in range(2):
        stream = HandStream(who)
        await door.enter(stream)
        door.leave(stream)
    for _ in range(5):  # being refused uses up nothing, so the wait does not grow
        with pytest.raises(TooManyOpenings, match="2 new streams a minute, of the plan") as refused:
            await door.enter(HandStream(who))
        assert refused.value.retry_after_s in (1, 2)
    assert await lets_in(door, replace(who, tenant_id=uuid.uuid4()))
    await until(lambda: lets_in(door, who))


async def test_who_is_refused_for_another_reason_has_used_up_no_opening(gateway: Open) -> None:
    door = await gateway()
    who = grant(plan=Limits(openings_a_minute=2), project=Limits(streams_at_once=1))
    stream = HandStream(who)
    await door.enter(stream)
    for _ in range(5):
        with pytest.raises(TooManyStreams):
            await door.enter(HandStream(who))
    door.leave(stream)
    await until(lambda: _is(open_now(door, who), 0))
    await door.enter(HandStream(who))


async def test_requests_a_second(gateway: Open) -> None:
    one, two = await gateway(), await gateway()
    who = grant(plan=Limits(requests_a_second=7), project=Limits(requests_a_second=5))
    rival = grant(plan=Limits(requests_a_second=7))
    answers = await asyncio.gather(*(door.request(who) for door in (one, two) * 10), return_exceptions=True)
    refused = [answer for answer in answers if answer is not None]
    assert len(refused) == 15
    assert all(isinstance(answer, TooManyRequests) for answer in refused)
    assert "5 a second, of this project" in str(refused[0])
    await one.request(rival)
    await one.request(replace(who, project_id=uuid.uuid4()))
    await one.request(grant())

    async def again() -> bool:
        try:
            await one.request(who)
        except TooManyRequests:
            return False
        return True

    await until(again)


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


async def test_without_the_usage_record_whoever_is_limited_by_it_waits(gateway: Open, record: Record) -> None:
    door = await gateway()
    record.broken = True
    who = grant(project=Limits(audio_hours_a_day=Decimal(1), streams_at_once=1))
    for _ in range(3):
        with pytest.raises(Unavailable):
            await door.enter(HandStream(who))
    await door.enter(HandStream(grant(plan=Limits(streams_at_once=1))))
    record.broken = False
    await door.enter(HandStream(who))


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
            await door.stop()


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


# ---- anything, in any order

STEPS = st.lists(
    st.tuples(st.sampled_from(["enter", "leave", "unopened"]), st.integers(0, 2), st.integers(0, 9)),
    max_size=40,
)
SOME = st.none() | st.integers(1, 4)


@given(
    steps=STEPS, plan=st.tuples(SOME, SOME), projects=st.lists(st.tuples(SOME, SOME), min_size=3, max_size=3)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_in_any_order_there_are_as_many_inside_as_a_simple_count_says(
    valkey_server: str, steps: Any, plan: Any, projects: Any
) -> None:
    door = Admission.at(valkey_server, f"test-{uuid.uuid4().hex[:8]}", Record())
    tenant = uuid.uuid4()
    grants = [
        grant(Limits(plan[0], plan[1]), Limits(*of), tenant_id=tenant, project_id=uuid.uuid4())
        for of in projects
    ]
    inside: list[tuple[int, HandStream]] = []
    openings: list[int] = []
    for what, project, number in steps:
        if what == "enter":
            mine = [one for one, _ in inside if one == project]
            full = (
                _full(projects[project][0], mine)
                or _full(plan[0], inside)
                or _full(projects[project][1], [one for one in openings if one == project])
                or _full(plan[1], openings)
            )
            stream = HandStream(grants[project])
            try:
                await door.enter(stream)
            except LimitReached:
                assert full
            else:
                assert not full
                inside.append((project, stream))
                openings.append(project)
        elif inside:
            left, stream = inside.pop(number % len(inside))
            door.leave(stream, opened=what == "leave")
            await door._say_who_left()
            if what == "unopened":
                openings.remove(left)
    await door.stop()


def _full(limit: int | None, present: list[Any]) -> bool:
    return limit is not None and len(present) >= limit
