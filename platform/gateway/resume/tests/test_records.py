"""What Valkey remembers, in whatever order it is told and asked."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from gateway import valkey
from gateway.resume import records
from gateway.resume.records import ALONE, Answer, Claimed, End, Kept, Records, Save
from gateway.resume.tests.passing import pass_in

Make = Callable[..., Records]


@pytest.fixture
async def make(valkey_server: str) -> AsyncIterator[Make]:
    """Those of a region that no other test has."""
    here = f"test-{uuid.uuid4().hex[:8]}"
    async with AsyncExitStack() as leaving:

        def one(window_s: float = 60.0, region: str = here) -> Records:
            made = Records(valkey.client(valkey_server), region, window_s)
            leaving.push_async_callback(made.close)
            return made

        yield one


def save(generation: int = 1, *, held: bool = False, stand: bytes = b"stand", **more: object) -> Save:
    finals = tuple((final[0], final) for final in more.pop("finals", ()))  # type: ignore[attr-defined]
    entry = more.pop("entry", b"entry")
    return Save("s", generation, held, stand, entry, finals, **more)  # type: ignore[arg-type]


async def claim(kept: Records, generation: int = 1, *, alone: bool = False) -> Claimed:
    return await kept.claim("s", generation, alone=alone)


async def test_what_was_left_is_the_next_ones_with_all_that_was_written(make: Make) -> None:
    kept = make()
    first = save(held=True, finals=(b"a", b"b"), remembered=2)
    assert await kept.tell([first]) == [Kept.FOR_THE_FIRST_TIME]
    assert await kept.tell([save(stand=b"later", finals=(b"c",), remembered=3)]) == [Kept.YES]
    assert await claim(kept) == Claimed(Answer.YOURS, 1, 2, b"later", (b"a", b"b", b"c"))


async def test_no_more_finals_are_kept_than_are_remembered(make: Make) -> None:
    kept = make()
    await kept.tell([save(finals=(b"a", b"b", b"c"), remembered=3)])
    await kept.tell([save(finals=(b"d",), remembered=2)])
    assert (await claim(kept)).finals == (b"c", b"d")
    # All of them once more, after an answer that was lost: no more than these.
    await kept.tell([save(2, finals=(b"c", b"d"), remembered=2)])
    assert (await claim(kept, 2)).finals == (b"c", b"d")


async def test_what_was_written_twice_is_there_once_and_pushes_nothing_out(make: Make) -> None:
    """Whoever asks Valkey asks again where the answer was lost."""
    kept = make()
    await kept.tell([save(finals=(b"a", b"b"), remembered=2)])
    for _ in range(2):
        await kept.tell([save(finals=(b"c",), remembered=3)])
    assert (await claim(kept)).finals == (b"a", b"b", b"c")


async def test_of_many_who_come_at_once_one_has_it(make: Make) -> None:
    gateways = [make() for _ in range(4)]
    await gateways[0].tell([save()])
    answers = await asyncio.gather(*(claim(kept) for kept in gateways * 5))
    assert sorted(found.answer.name for found in answers) == ["CONFLICT"] * 19 + ["YOURS"]


async def test_who_has_the_newest_token_takes_it_over_at_once_and_who_has_an_old_one_when_it_is_abandoned(
    make: Make,
) -> None:
    kept = make()
    await kept.tell([save(held=True)])
    assert (await claim(kept, 1)).generation == 2
    assert (await claim(kept, 2)).generation == 3
    assert (await claim(kept, 1)).answer is Answer.CONFLICT
    await pass_in(kept, records.LEASE_S)
    found = await claim(kept, 1)
    assert (found.before, found.generation) == (3, 4)


async def test_whoever_is_still_there_keeps_it_from_those_with_an_old_token(make: Make) -> None:
    kept = make()
    await kept.tell([save(2, held=True)])
    for _ in range(3):
        await pass_in(kept, records.LEASE_S - 1)
        assert (await claim(kept, 1)).answer is Answer.CONFLICT
        assert await kept.tell([save(2, held=True)]) == [Kept.YES]


@pytest.mark.parametrize("last", [save(1, held=True), save(1), End("s", 1)])
async def test_what_an_old_connection_says_changes_nothing(make: Make, last: Save | End) -> None:
    kept = make()
    await kept.tell([save(1, held=True)])
    assert (await claim(kept)).generation == 2
    assert await kept.tell([last]) == [Kept.ANOTHERS]
    assert await kept.tell([save(2, stand=b"new")]) == [Kept.YES]
    assert (await claim(kept, 2)).stand == b"new"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_a_stream_that_has_ended_is_over_in_whatever_order_it_is_heard_of(
    make: Make, order: tuple[int, ...]
) -> None:
    kept = make()
    said: list[Save | End] = [save(held=True), save(), End("s", 1)]
    await kept.tell([said[place] for place in order])
    await kept.tell([End("s", 1)])
    assert (await claim(kept, 1, alone=True)).answer is Answer.LATE
    assert await kept.tell([save(held=True)]) == [Kept.ANOTHERS]
    assert await kept.reap(10) == {}


async def test_who_comes_after_the_window_is_late_and_the_log_is_told_once(make: Make) -> None:
    one, other = make(), make()
    await one.tell([save(entry=b"whose")])
    assert await one.reap(10) == {}  # not before
    await pass_in(one, 61)
    found = await asyncio.gather(*(kept.reap(10) for kept in (one, other)))
    assert sorted(found, key=len) == [{}, {"s": b"whose"}]
    assert (await claim(one, alone=True)).answer is Answer.LATE
    await one.taken(["s"])
    assert await one._redis.zcard(one._due) == 0
    assert not await one._redis.hexists(one._keys("s")[0], "entry")


async def test_who_comes_back_in_time_is_in_no_log(make: Make) -> None:
    kept = make()
    await kept.tell([save()])
    await pass_in(kept, 59)
    await claim(kept)
    await pass_in(kept, 59)
    assert await kept.reap(10) == {}
    await kept.tell([End("s", 2)])
    assert await kept.reap(10) == {}


async def test_entries_that_a_gateway_was_given_and_has_lost_are_given_to_another(make: Make) -> None:
    killed, other = make(), make()
    await killed.tell([save()])
    await pass_in(killed, 61)
    assert await killed.reap(10) == {"s": b"entry"}
    await pass_in(other, records.GIVEN_FOR_S - 1)
    assert await other.reap(10) == {}
    await pass_in(other, 2)
    assert await other.reap(10) == {"s": b"entry"}


async def test_a_connection_that_could_not_be_heard_of_for_long_goes_on(make: Make) -> None:
    """Valkey's clock has jumped, or its own gateway was cut off."""
    kept = make()
    await kept.tell([save(held=True, finals=(b"a",), remembered=1)])
    await pass_in(kept, 61 + records.LEASE_S)
    assert await kept.reap(10)
    assert await kept.tell([save(held=True, finals=(b"b",), remembered=2)]) == [Kept.FOR_THE_FIRST_TIME]
    await kept.taken(["s"])
    assert (await claim(kept)).answer is Answer.YOURS


async def test_one_that_was_given_up_is_not_left_once_more(make: Make) -> None:
    kept = make()
    await kept.tell([save()])
    await pass_in(kept, 61)
    assert await kept.reap(10)
    assert await kept.tell([save()]) == [Kept.ANOTHERS]


async def test_a_token_stands_for_itself_where_nothing_is_known(make: Make) -> None:
    kept = make()
    assert (await claim(kept, 7)).answer is Answer.LATE
    assert await claim(kept, 7, alone=True) == Claimed(Answer.YOURS, 7, 7 + ALONE, b"", ())
    assert (await claim(kept, 7, alone=True)).answer is Answer.CONFLICT


async def test_when_valkey_has_forgotten_no_old_token_can_share_a_generation_with_who_is_there(
    make: Make,
) -> None:
    kept = make()
    await kept.tell([save(2, held=True)])
    await kept._redis.delete(*kept._keys("s"))
    assert (await claim(kept, 1, alone=True)).answer is Answer.YOURS
    assert await kept.tell([save(2, held=True)]) == [Kept.ANOTHERS]


@pytest.mark.parametrize("how", ["ended", "left", "given up"])
async def test_who_went_to_another_region_comes_back_from_there(make: Make, how: str) -> None:
    kept = make()
    await kept.tell([save(2, finals=(b"old",), remembered=1)])
    if how == "ended":
        await kept.tell([End("s", 2)])
    elif how == "given up":
        await pass_in(kept, 61)
        assert await kept.reap(10)
    assert (await claim(kept, 300)).answer is Answer.LATE
    assert await claim(kept, 300, alone=True) == Claimed(Answer.YOURS, 300, 300 + ALONE, b"", ())


async def test_two_regions_in_one_valkey_know_nothing_of_each_other(make: Make) -> None:
    here, there = make(), make(region=f"test-{uuid.uuid4().hex[:8]}")
    await here.tell([save()])
    assert (await claim(there)).answer is Answer.LATE
    await there.tell([End("s", 1)])
    assert (await claim(here)).answer is Answer.YOURS


async def test_everything_goes_by_itself_in_the_end_and_words_first(make: Make) -> None:
    kept = make(60.0)
    record, finals = kept._keys("s")[:2]

    async def lives_s(key: str) -> int:
        return int(await kept._redis.ttl(key))

    await kept.tell([save(finals=(b"words",), remembered=1)])
    assert 0 < await lives_s(finals) <= 60
    assert 60 < await lives_s(record) <= 86_460
    assert 60 < await lives_s(kept._due) <= 86_460
    await claim(kept)
    assert 0 < await lives_s(finals) <= 65
    await kept.tell([save(2)])
    assert 0 < await lives_s(finals) <= 60  # also of a connection in which nothing was said
    await kept.tell([End("s", 2)])
    assert not await kept._redis.exists(finals)
    assert 60 < await lives_s(record) <= 660
    assert await kept._redis.hkeys(record) == [b"gen", b"over"]


async def test_words_are_gone_with_the_time_to_come_back(make: Make) -> None:
    kept = make()
    await kept.tell([save(finals=(b"words",), remembered=1)])
    await pass_in(kept, 61)
    assert await kept.reap(10)
    record, finals = kept._keys("s")[:2]
    assert not await kept._redis.exists(finals)
    assert not await kept._redis.hexists(record, "stand")


async def test_a_claim_whose_answer_was_lost_is_repeated_when_its_lease_is_over(make: Make) -> None:
    kept = make()
    await kept.tell([save()])
    await claim(kept)
    assert (await claim(kept)).answer is Answer.CONFLICT
    await pass_in(kept, records.LEASE_S)
    assert (await claim(kept)).generation == 3
