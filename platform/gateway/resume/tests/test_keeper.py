"""A keeper over a real Valkey, and streams by hand: what it keeps, of whom, and who gets it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis.exceptions import ConnectionError as Away

from gateway import valkey
from gateway.errors import GatewayError, Unavailable
from gateway.lane import Lane
from gateway.resume import keeper, records, state
from gateway.resume.errors import ResumeConflict, ResumeForeign, ResumeLate
from gateway.resume.keeper import Keeper, Resumption
from gateway.resume.records import Claimed, End, Kept, Records, Save
from gateway.resume.state import MAX_GENERATION, Record
from gateway.resume.tests.marks import mark, record, token
from gateway.tests.doors import grant
from metering.requests import Request

GRANT = grant()
DEADLINE_S = 5.0


def entry(name: str) -> Request:
    return Request(
        tenant=str(GRANT.tenant_id), project=str(GRANT.project_id), key=str(GRANT.key_id), request_id=name,
        kind="live", path="/v1/listen", started_at="2026-01-01T00:00:00+00:00",
        ended_at="2026-01-01T00:01:00+00:00", outcome="stream_error", status=500, audio_ms=5, billed_ms=4,
        channels=1, model="m", version="1", language="en", region="test", worker="w",
    )  # fmt: skip


@dataclass(eq=False)
class Stream:
    """One that is held: what a `Visit` is."""

    keeper: Keeper
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    generation: int = 1
    kept: Record = field(default_factory=record)
    lanes: tuple[Lane, ...] = ()
    ended: list[str] = field(default_factory=list)

    def record(self) -> Record:
        return self.kept

    def log_entry(self) -> Request:
        return entry(self.id)

    def let_go(self) -> None:
        self.ended.append("let go")
        self.keeper.left(self, self.lanes)

    def lose(self) -> None:
        self.ended.append("lost")

    def says(self, count: int) -> None:
        """So many finals, in all."""
        self.kept = record(count)
        self.keeper.changed(self)


class Shaky(Records):
    """Valkey, when it is there."""

    away = False
    told: list[Sequence[Save | End]]

    async def tell(self, all_of: Sequence[Save | End]) -> list[Kept]:
        self._look()
        self.told = [*getattr(self, "told", []), all_of]
        return await super().tell(all_of)

    async def claim(self, stream: str, generation: int, *, alone: bool) -> Claimed:
        self._look()
        return await super().claim(stream, generation, alone=alone)

    async def reap(self, most: int) -> dict[str, bytes]:
        self._look()
        return await super().reap(most)

    def _look(self) -> None:
        if self.away:
            raise Away


class Gateway(Keeper):
    records: Shaky
    logged: list[Request]

    async def write(self) -> None:
        await self._write()

    async def reap(self) -> None:
        self._reaped_at = -1e9
        await self._reap()

    def open(self, **changes: Any) -> Stream:
        stream = Stream(self, **changes)
        self.opened(stream)
        return stream

    def go_on(self, came: Resumption) -> Stream:
        return self.open(id=came.stream, generation=came.generation, kept=came.record)

    async def come(self, stream: Stream, generation: int = 1, **shown: Any) -> Resumption:
        last_seq = shown.pop("last_seq", None)
        shown.setdefault("mark", stream.kept.mark)
        return await self.claim(token(GRANT, stream.id, generation=generation, **shown), GRANT, last_seq)


Make = Callable[..., Gateway]


@pytest.fixture
async def make(valkey_server: str) -> AsyncIterator[Make]:
    """Gateways of one region that no other test has. None writes by itself."""
    region = f"test-{uuid.uuid4().hex[:8]}"
    async with AsyncExitStack() as leaving:

        def one(window_s: float = 60.0) -> Gateway:
            kept = Shaky(valkey.client(valkey_server), region, window_s)
            logged: list[Request] = []
            made = Gateway(kept, window_s, logged.extend)
            made.records, made.logged = kept, logged
            leaving.push_async_callback(kept.close)
            return made

        yield one


async def refused(coming: Any, by: type[GatewayError]) -> GatewayError:
    with pytest.raises(by) as refusal:
        await coming
    return refusal.value


def ids(entries: Iterable[Request]) -> list[str]:
    return [one.request_id for one in entries]


# ---- here and elsewhere


async def test_who_comes_back_here_has_all_that_was_here(make: Make) -> None:
    here = make()
    stream = here.open(lanes=(Lane("s"),), kept=record(3))
    here.left(stream, stream.lanes)
    came = await here.come(stream, last_seq=0)
    assert (came.generation, came.lanes, came.record) == (2, stream.lanes, stream.kept)
    assert [told.seq for told in came.missed] == [1, 2]


async def test_who_comes_back_elsewhere_has_what_was_written(make: Make) -> None:
    here, there = make(), make()
    stream = here.open(kept=record(3, called_back=2))
    await here.write()
    came = await there.come(stream, last_seq=-1)  # of a gateway that says no more
    assert (came.generation, came.lanes, came.record) == (2, None, stream.kept)
    assert [told.seq for told in came.missed] == [0, 1, 2]


async def test_only_what_changed_is_written_again_and_what_is_held_is_refreshed(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = make()
    now = 1000.0
    monkeypatch.setattr(here, "_clock", lambda: now)
    stream, other = here.open(), here.open()

    async def written() -> list[tuple[str, int]]:
        here.records.told = []
        await here.write()
        return [(one.stream, len(one.finals)) for some in here.records.told for one in some]  # type: ignore[union-attr]

    assert await written() == [(stream.id, 0), (other.id, 0)]
    assert await written() == []
    stream.says(2)
    assert await written() == [(stream.id, 2)]
    stream.says(3)
    assert await written() == [(stream.id, 1)]
    now += keeper.REFRESH_EVERY_S
    assert sorted(await written()) == sorted([(stream.id, 0), (other.id, 0)])


async def test_no_word_is_in_clear(make: Make) -> None:
    here = make()
    here.open(kept=record(3))
    await here.write()
    (saves,) = here.records.told
    (save,) = saves
    assert isinstance(save, Save)
    assert len(save.finals) == 3
    assert b"hello" in state.encode(record(3).finals)
    assert not any(b"hello" in part for part in (save.stand, save.entry, *save.finals))


async def test_a_final_that_was_not_written_any_more_is_in_the_token_that_came_with_it(make: Make) -> None:
    here, there = make(), make()
    stream = here.open(kept=record(2))
    await here.write()
    came = await there.come(stream, mark=mark(4))
    assert (came.record.mark, came.record.stand.called_back, came.missed) == (mark(4), 4, ())
    assert came.record.said(0) == ()  # the last words are not known


async def test_who_wants_more_than_is_remembered_is_late_and_may_ask_for_less(make: Make) -> None:
    here = make()
    stream = here.open(kept=Record(record(5).stand, record(5).finals[3:]))
    here.left(stream, stream.lanes)
    for last_seq in (1, 5, 999_999_999):
        refusal = await refused(here.come(stream, last_seq=last_seq), ResumeLate)
        assert str(last_seq) in refusal.sentence
    came = await here.come(stream, last_seq=2)
    assert [told.seq for told in came.missed] == [3, 4]
    assert came.lanes is not None


# ---- who may


async def test_a_stream_of_others_is_nobodys_business(make: Make) -> None:
    here = make()
    stream = here.open()
    for stranger in (grant(), grant(tenant_id=GRANT.tenant_id), grant(project_id=GRANT.project_id)):
        await refused(here.claim(token(GRANT, stream.id), stranger, None), ResumeForeign)
    assert stream.ended == []  # and nobody notices


async def test_another_key_of_the_project_may(make: Make) -> None:
    here = make()
    stream = here.open()
    here.left(stream, ())
    other = grant(tenant_id=GRANT.tenant_id, project_id=GRANT.project_id)
    assert (await here.claim(token(GRANT, stream.id), other, None)).generation == 2


async def test_a_stream_that_has_ended_is_over_here_and_elsewhere(make: Make) -> None:
    here, there = make(), make()
    stream = here.open()
    here.ended(stream)
    await refused(here.come(stream), ResumeLate)  # also before it is written by itself
    await refused(there.come(stream), ResumeLate)
    await here.reap()
    assert here.logged == []


async def test_of_those_who_come_at_once_one_goes_on(make: Make) -> None:
    gateways = [make(), make()]
    stream = gateways[0].open(lanes=(Lane("s"),))
    gateways[0].left(stream, stream.lanes)
    await gateways[0].write()
    tries = [one.come(stream) for one in gateways * 4]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(answer, Resumption) for answer in answers) == 1
    assert sum(isinstance(answer, ResumeConflict) for answer in answers) == 7


async def test_an_old_token_is_worth_nothing_where_nothing_is_known_and_a_fresh_one_is(make: Make) -> None:
    here = make(60.0)
    stream = Stream(here, kept=record(4))
    old = int(time.time()) - 61
    await refused(here.come(stream, issued_at=old), ResumeLate)
    came = await here.come(stream, opened_at=17)
    assert (came.opened_at, came.record.mark, came.missed, came.lanes) == (17, mark(4), (), None)


async def test_a_clock_that_jumps_takes_nothing_from_who_is_known(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = make()
    stream = here.open()
    here.left(stream, ())
    shown = token(GRANT, stream.id)
    monkeypatch.setattr(time, "time", lambda: shown.issued_at + 1e6)
    assert (await here.claim(shown, GRANT, None)).generation == 2


async def test_nobody_comes_back_for_ever(make: Make) -> None:
    here = make()
    stream = here.open(generation=MAX_GENERATION)
    await refused(here.come(stream, MAX_GENERATION), ResumeLate)
    assert stream.ended == []


# ---- taking over


async def test_who_comes_back_to_the_same_gateway_before_it_knows_takes_all_along(make: Make) -> None:
    here = make()
    stream = here.open(lanes=(Lane("s"),), kept=record(1))
    came = await here.come(stream)
    assert stream.ended == ["let go"]
    assert came.lanes is stream.lanes
    here.go_on(came)
    await here.write()
    assert stream.ended == ["let go"]


async def test_who_is_gone_to_another_gateway_is_lost_here(make: Make) -> None:
    here, there = make(), make()
    stream = here.open()
    await here.write()
    later = there.go_on(await there.come(stream))
    stream.says(1)
    await here.write()
    assert stream.ended == ["lost"]
    await there.write()
    assert later.ended == []
    # Whatever it says now is nobody's.
    here.ended(stream)
    here.left(stream, ())
    stream.says(2)
    await here.write()
    assert (await there.come(later, 2)).generation == 3


async def test_a_connection_that_nobody_has_heard_of_for_long_is_let_go_for_an_older_token(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Valkey was away for longer than the lease, and the client never got its newest token."""
    monkeypatch.setattr(records, "LEASE_S", 0.0)
    here = make()
    stream = here.open(generation=2, lanes=(Lane("s"),))
    await here.write()
    came = await here.come(stream, 1)
    assert stream.ended == ["let go"]
    assert (came.generation, came.lanes) == (3, stream.lanes)


@pytest.mark.parametrize("newest_first", [False, True])
async def test_of_two_that_opened_here_the_newest_stays(make: Make, newest_first: bool) -> None:
    here = make()
    name = str(uuid.uuid4())
    streams = {one: Stream(here, id=name, generation=one) for one in (2, 3)}
    for one in (3, 2) if newest_first else (2, 3):
        here.opened(streams[one])
    assert (streams[2].ended, streams[3].ended) == (["lost"], [])
    await here.write()
    assert [save.generation for save in here.records.told[-1]] == [3]


async def test_after_valkey_has_forgotten_all_is_written_once_more(make: Make) -> None:
    here, there = make(), make()
    stream = here.open(kept=record(3))
    await here.write()
    await here.records._redis.delete(*here.records._keys(stream.id))
    stream.says(4)
    await here.write()
    await here.write()
    came = await there.come(stream, last_seq=-1)
    assert [told.seq for told in came.missed] == [0, 1, 2, 3]


async def test_after_valkey_has_forgotten_what_is_parked_here_is_still_all_there(make: Make) -> None:
    here = make()
    stream = here.open(lanes=(Lane("s"),), kept=record(3))
    here.left(stream, stream.lanes)
    await here.write()
    await here.records._redis.delete(*here.records._keys(stream.id))
    came = await here.come(stream, last_seq=0)
    assert came.lanes is stream.lanes
    assert len(came.missed) == 2


# ---- those who do not get in


async def test_who_does_not_get_in_may_come_again(make: Make) -> None:
    here, there = make(), make()
    stream = here.open(lanes=(Lane("s"),), kept=record(3))
    here.left(stream, stream.lanes)
    for generation in (2, 3):
        came = await here.come(stream, last_seq=1)
        assert (came.generation, came.lanes) == (generation, stream.lanes)
        here.give_back(came)
    await here.write()
    came = await there.come(stream, last_seq=-1)
    assert (came.generation, came.lanes, len(came.missed)) == (4, None, 3)
    there.give_back(came)
    await there.write()
    await here.reap()
    assert here.logged == []


async def test_who_is_given_back_and_never_comes_is_in_the_log_as_before(make: Make) -> None:
    here = make(0.05)
    stream = here.open()
    here.left(stream, ())
    here.give_back(await here.come(stream))
    await here.write()
    await asyncio.sleep(0.06)
    await here.reap()
    assert ids(here.logged) == [stream.id]


# ---- bounds


async def test_no_more_audio_is_kept_than_there_is_room_for_and_the_oldest_goes(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "MAX_PARKED", 3)
    monkeypatch.setattr(keeper, "MAX_PARKED_BYTES", 100_000)
    here = make()
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


async def test_audio_goes_with_the_time_to_come_back(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    here = make()
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
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "MAX_LEAVING", 2)
    here = make()
    streams = [here.open() for _ in range(3)]
    here.ended(streams[0])
    for stream in streams[1:]:
        here.left(stream, ())
    assert here.logged == []  # what has ended needs no word more
    last = here.open()
    here.left(last, ())
    assert ids(here.logged) == [streams[1].id]


async def test_thousands_are_written_some_at_a_time(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "WRITE_AT_ONCE", 3)
    here = make()
    streams = [here.open() for _ in range(7)]
    for stream in streams[:4]:
        here.left(stream, ())
    await here.write()
    assert [len(some) for some in here.records.told] == [3, 1, 3]


# ---- the request log


async def test_who_never_comes_back_is_in_the_log_once_whoever_looks(make: Make) -> None:
    here, there = make(0.05), make(0.05)
    streams = [here.open() for _ in range(3)]
    for stream in streams:
        here.left(stream, ())
    await here.write()
    await asyncio.sleep(0.06)
    await asyncio.gather(here.reap(), there.reap())
    await asyncio.gather(here.reap(), there.reap())
    logged = here.logged + there.logged
    assert sorted(ids(logged)) == sorted(stream.id for stream in streams)
    assert logged[0] == entry(logged[0].request_id)


async def test_the_streams_of_a_gateway_that_was_killed_are_logged_by_another(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "LEASE_S", 0.05)
    killed, there = make(0.05), make(0.05)
    stream = killed.open()
    await killed.write()
    await there.reap()
    assert there.logged == []
    await asyncio.sleep(0.11)
    await there.reap()
    assert ids(there.logged) == [stream.id]
    # It lives after all: nobody takes its stream from it.
    stream.says(1)
    await killed.write()
    assert stream.ended == []


async def test_an_entry_that_nobody_can_read_keeps_none_of_the_others_from_the_log(make: Make) -> None:
    here = make(0.01)
    for bad in (b"{", b"7", b'{"tenant": 1}'):
        await here.records.tell([Save(uuid.uuid4().hex, 1, False, b"", bad)])
    stream = here.open()
    here.left(stream, ())
    await here.write()
    await asyncio.sleep(0.02)
    await here.reap()
    assert ids(here.logged) == [stream.id]
    assert await here.records._redis.zcard(here.records._due) == 0


# ---- Valkey is away


async def test_while_valkey_is_away_nobody_comes_back_and_nothing_is_lost(make: Make) -> None:
    here = make()
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


async def test_what_may_not_have_arrived_is_written_once_more_and_is_there_once(make: Make) -> None:
    here, there = make(), make()
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


async def test_nobody_waits_for_a_valkey_that_does_not_answer(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "CLAIM_WITHIN_S", 0.05)
    here = make()

    async def never(*_: object, **__: object) -> Claimed:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(here.records, "claim", never)
    async with asyncio.timeout(DEADLINE_S):
        await refused(here.come(Stream(here)), Unavailable)


async def test_a_keeper_that_cannot_say_goodbye_tells_the_log_of_all_that_it_has(make: Make) -> None:
    here = make()
    left, ended, back, still = here.open(), here.open(), here.open(), here.open()
    here.left(left, ())
    here.left(back, ())
    here.give_back(await here.come(back))
    here.ended(ended)
    here.records.away = True
    await here.stop()
    assert sorted(ids(here.logged)) == sorted([left.id, still.id])


async def test_a_keeper_that_stops_leaves_its_streams_to_the_others(make: Make) -> None:
    here, there = make(), make()
    left, still = here.open(), here.open()
    here.start()
    here.left(left, ())
    await here.stop()
    assert here.logged == []
    assert (await there.come(left)).generation == 2
    assert (await there.come(still)).generation == 2


async def test_it_writes_and_looks_by_itself_also_after_a_failure(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "WRITE_EVERY_S", 0.01)
    monkeypatch.setattr(keeper, "LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr(keeper, "REAP_EVERY_S", 0.0)
    here = make(0.1)
    stream = here.open()
    here.records.away = True
    here.start()
    here.left(stream, ())
    await asyncio.sleep(0.05)
    here.records.away = False
    async with asyncio.timeout(DEADLINE_S):
        while not here.logged:  # noqa: ASYNC110 - time is Valkey's
            await asyncio.sleep(0.01)
    assert ids(here.logged) == [stream.id]
    await here.stop()
