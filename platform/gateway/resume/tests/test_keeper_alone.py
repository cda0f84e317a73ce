"""What a keeper does with those who never come back, and while Valkey is away: its bounds, and the log."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

import pytest
from redis.exceptions import ConnectionError as Away

from gateway.errors import Unavailable
from gateway.lane import Lane
from gateway.resume import keeper, records
from gateway.resume.errors import ResumeLate
from gateway.resume.records import Claimed, End, Kept, Records, Save
from gateway.resume.tests.keeping import DEADLINE_S, Keep, Stream, entry, ids, refused
from gateway.resume.tests.marks import record
from gateway.resume.tests.passing import pass_in

# ---- bounds


async def test_no_more_audio_is_kept_than_there_is_room_for_and_the_oldest_goes(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "MAX_PARKED", 3)
    monkeypatch.setattr(keeper, "MAX_PARKED_BYTES", 100_000)
    here = keep()
    streams = []
    for _ in range(4):
        streams.append(here.open(lanes=(_lane(),)))
        here.left(streams[-1], streams[-1].lanes)
    assert list(here._parked) == [stream.id for stream in streams[1:]]
    big = here.open(lanes=(_lane(99_500),))
    here.left(big, big.lanes)
    assert list(here._parked) == [big.id]
    # Those who have lost their audio here are as elsewhere.
    assert (await here.come(streams[0])).lanes is None


def _lane(size: int = 1_000) -> Lane:
    made = Lane("s")
    made.send_audio(bytes(size), 60_000)
    return made


async def test_audio_goes_with_the_time_to_come_back(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    here = keep()
    now = 5.0
    monkeypatch.setattr(here, "_clock", lambda: now)
    stream = here.open(lanes=(_lane(),))
    here.left(stream, stream.lanes)
    now += 60.0
    here._forget_the_late()
    assert here._parked
    now += 0.1
    here._forget_the_late()
    assert not here._parked


async def test_what_valkey_cannot_be_told_for_too_long_is_at_least_in_the_log(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "MAX_LEAVING", 2)
    here = keep()
    streams = [here.open() for _ in range(3)]
    here.ended(streams[0])
    for stream in streams[1:]:
        here.left(stream, ())
    assert here.logged == []  # what has ended needs no word more
    last = here.open()
    here.left(last, ())
    assert ids(here.logged) == [streams[1].id]


async def test_thousands_are_written_some_at_a_time(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "WRITE_AT_ONCE", 3)
    here = keep()
    streams = [here.open() for _ in range(7)]
    for stream in streams[:4]:
        here.left(stream, ())
    await here.write()
    assert [len(some) for some in here.records.told] == [3, 1, 3]


# ---- the request log


async def test_who_never_comes_back_is_in_the_log_once_whoever_looks(keep: Keep) -> None:
    here, there = keep(), keep()
    streams = [here.open() for _ in range(3)]
    for stream in streams:
        here.left(stream, ())
    await here.write()
    await pass_in(here.records, 61)
    await asyncio.gather(here.reap(), there.reap())
    await asyncio.gather(here.reap(), there.reap())
    logged = here.logged + there.logged
    assert sorted(ids(logged)) == sorted(stream.id for stream in streams)
    assert logged[0] == entry(logged[0].request_id)


async def test_the_streams_of_a_gateway_that_was_killed_are_logged_by_another(keep: Keep) -> None:
    killed, there = keep(), keep()
    stream = killed.open()
    await killed.write()
    await there.reap()
    assert there.logged == []
    await pass_in(there.records, 61)
    await there.reap()
    assert there.logged == []  # it may still be held for as long as a lease
    await pass_in(there.records, records.LEASE_S)
    await there.reap()
    assert ids(there.logged) == [stream.id]
    # It lives after all: nobody takes its stream from it.
    stream.says(1)
    await killed.write()
    assert stream.ended == []


async def test_an_entry_that_nobody_can_read_keeps_none_of_the_others_from_the_log(keep: Keep) -> None:
    here = keep()
    for bad in (b"{", b"7", b'{"tenant": 1}'):
        await here.records.tell([Save(uuid.uuid4().hex, 1, False, b"", bad)])
    stream = here.open()
    here.left(stream, ())
    await here.write()
    await pass_in(here.records, 61)
    await here.reap()
    assert ids(here.logged) == [stream.id]
    assert await here.records._redis.zcard(here.records._due) == 0


# ---- Valkey is away


async def test_while_valkey_is_away_nobody_comes_back_and_nothing_is_lost(keep: Keep) -> None:
    here = keep()
    stream, ended = here.open(lanes=(Lane("s"),), kept=record(2)), here.open()
    here.records.away = True
    with pytest.raises(Away):
        await here.write()
    refusal = await refused(here.come(stream), Unavailable)
    assert refusal.retry_after_s
    assert stream.ended == ["let go"]  # what it has is kept for whoever comes next
    here.ended(ended)
    here.records.away = False
    came = await here.come(stream, last_seq=-1)
    assert came.lanes is stream.lanes
    assert len(came.missed) == 2
    await refused(here.come(ended), ResumeLate)


async def test_what_may_not_have_arrived_is_written_once_more_and_is_there_once(keep: Keep) -> None:
    here, there = keep(), keep()
    stream = here.open(kept=record(2))
    tell = Records.tell

    async def cut_off(self: Records, all_of: Sequence[Save | End]) -> list[Kept]:
        await tell(self, all_of)
        raise TimeoutError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Records, "tell", cut_off)
        with pytest.raises(TimeoutError):
            await here.write()
    stream.says(3)
    await here.write()
    came = await there.come(stream, last_seq=-1)
    assert [told.seq for told in came.missed] == [0, 1, 2]


async def test_who_leaves_while_a_write_gets_lost_leaves_all_that_was_said(keep: Keep) -> None:
    here, there = keep(), keep()
    stream = here.open(kept=record(2))
    await here.write()
    stream.says(4)

    async def lost(self: Records, all_of: Sequence[Save | End]) -> list[Kept]:
        here.left(stream, ())
        raise TimeoutError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Records, "tell", lost)
        with pytest.raises(TimeoutError):
            await here.write()
    await here.write()
    came = await there.come(stream, last_seq=-1)
    assert [told.seq for told in came.missed] == [0, 1, 2, 3]


async def test_nobody_waits_for_a_valkey_that_does_not_answer(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "CLAIM_WITHIN_S", 0.05)
    here = keep()

    async def never(*_: object, **__: object) -> Claimed:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(here.records, "claim", never)
    async with asyncio.timeout(DEADLINE_S):
        await refused(here.come(Stream(here)), Unavailable)


async def test_a_keeper_that_cannot_say_goodbye_tells_the_log_of_all_that_it_has(keep: Keep) -> None:
    here = keep()
    left, ended, back, still = here.open(), here.open(), here.open(), here.open()
    here.left(left, ())
    here.left(back, ())
    here.give_back(await here.come(back))
    here.ended(ended)
    here.records.away = True
    await here.stop()
    assert sorted(ids(here.logged)) == sorted([left.id, still.id])


async def test_a_keeper_that_stops_leaves_its_streams_to_the_others(keep: Keep) -> None:
    here, there = keep(), keep()
    left, still = here.open(), here.open()
    here.start()
    here.left(left, ())
    await here.stop()
    assert here.logged == []
    assert (await there.come(left)).generation == 2
    assert (await there.come(still)).generation == 2


async def test_it_writes_and_looks_by_itself_also_after_a_failure(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "WRITE_EVERY_S", 0.01)
    monkeypatch.setattr(keeper, "LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr(keeper, "REAP_EVERY_S", 0.0)
    here = keep(0.1)
    stream = here.open()
    here.records.away = True
    failed = asyncio.Event()
    monkeypatch.setattr(keeper.log, "warning", lambda *_: failed.set())
    here.start()
    here.left(stream, ())
    async with asyncio.timeout(DEADLINE_S):
        await failed.wait()
    here.records.away = False
    async with asyncio.timeout(DEADLINE_S):
        while not here.logged:  # noqa: ASYNC110 - time is Valkey's
            await asyncio.sleep(0.01)
    assert ids(here.logged) == [stream.id]
    await here.stop()
