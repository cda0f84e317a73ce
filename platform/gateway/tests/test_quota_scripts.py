"""The scripts in a real Valkey: what two gateways let in between them at the same moment."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import admission
from gateway.admission import Admission
from gateway.errors import LimitReached, TooManyOpenings, TooManyRequests, TooManyStreams
from gateway.tests.doors import HandStream, Open, Record, enter, grant, is_, lets_in, open_now, region, until
from tenants.limits import Limits


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
async def gateway(valkey_server: str, record: Record) -> AsyncIterator[Open]:
    async with region(valkey_server, record) as make:
        yield make


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
    await until(lambda: is_(open_now(one, who), 0))
    assert len(await enter(one, *(HandStream(who) for _ in range(200)))) == 50


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
    await until(lambda: is_(open_now(door, who), 1))
    await door.enter(HandStream(who))


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
    await until(lambda: is_(open_now(door, who), 0))
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
