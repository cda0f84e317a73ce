"""What a keeper keeps, of whom, and who gets it."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest

from gateway.lane import Lane
from gateway.resume import keeper, records, state
from gateway.resume.errors import ResumeConflict, ResumeForeign, ResumeLate
from gateway.resume.keeper import Resumption
from gateway.resume.records import Save
from gateway.resume.state import MAX_GENERATION, Record
from gateway.resume.tests.keeping import GRANT, Keep, Stream, ids, refused
from gateway.resume.tests.marks import mark, record, token
from gateway.resume.tests.passing import pass_in
from gateway.tests.doors import grant

# ---- here and elsewhere


async def test_who_comes_back_here_has_all_that_was_here(keep: Keep) -> None:
    here = keep()
    stream = here.open(lanes=(Lane("s"),), kept=record(3))
    here.left(stream, stream.lanes)
    came = await here.come(stream, last_seq=0)
    assert (came.generation, came.lanes, came.record) == (2, stream.lanes, stream.kept)
    assert [told.seq for told in came.missed] == [1, 2]


async def test_who_comes_back_elsewhere_has_what_was_written(keep: Keep) -> None:
    here, there = keep(), keep()
    stream = here.open(kept=record(3, called_back=2))
    await here.write()
    came = await there.come(stream, last_seq=-1)  # of a gateway that says no more
    assert (came.generation, came.lanes, came.record) == (2, None, stream.kept)
    assert [told.seq for told in came.missed] == [0, 1, 2]


async def test_only_what_changed_is_written_again_and_what_is_held_is_refreshed(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = keep()
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


async def test_no_word_is_in_clear(keep: Keep) -> None:
    here = keep()
    here.open(kept=record(3))
    await here.write()
    (saves,) = here.records.told
    (save,) = saves
    assert isinstance(save, Save)
    assert len(save.finals) == 3
    assert b"hello" in state.encode(record(3).finals)
    assert not any(b"hello" in part for part in (save.stand, save.entry, *dict(save.finals).values()))


async def test_a_final_that_was_not_written_any_more_is_in_the_token_that_came_with_it(keep: Keep) -> None:
    here, there = keep(), keep()
    stream = here.open(kept=record(2))
    await here.write()
    came = await there.come(stream, mark=mark(4))
    assert (came.record.mark, came.record.stand.called_back, came.missed) == (mark(4), 4, ())
    assert came.record.said(0) == ()  # the last words are not known


async def test_who_wants_more_than_is_remembered_is_late_and_may_ask_for_less(keep: Keep) -> None:
    here = keep()
    stream = here.open(kept=Record(record(5).stand, record(5).finals[3:]))
    here.left(stream, stream.lanes)
    for last_seq in (1, 5, 999_999_999):
        refusal = await refused(here.come(stream, last_seq=last_seq), ResumeLate)
        assert str(last_seq) in refusal.sentence
    came = await here.come(stream, last_seq=2)
    assert [told.seq for told in came.missed] == [3, 4]
    assert came.lanes is not None


# ---- who may


async def test_a_stream_of_others_is_nobodys_business(keep: Keep) -> None:
    here = keep()
    stream = here.open()
    for stranger in (grant(), grant(tenant_id=GRANT.tenant_id), grant(project_id=GRANT.project_id)):
        await refused(here.claim(token(GRANT, stream.id), stranger, None), ResumeForeign)
    assert stream.ended == []  # and nobody notices


async def test_another_key_of_the_project_may(keep: Keep) -> None:
    here = keep()
    stream = here.open()
    here.left(stream, ())
    other = grant(tenant_id=GRANT.tenant_id, project_id=GRANT.project_id)
    assert (await here.claim(token(GRANT, stream.id), other, None)).generation == 2


async def test_a_stream_that_has_ended_is_over_here_and_elsewhere(keep: Keep) -> None:
    here, there = keep(), keep()
    stream = here.open()
    here.ended(stream)
    await refused(here.come(stream), ResumeLate)  # also before it is written by itself
    await refused(there.come(stream), ResumeLate)
    await here.reap()
    assert here.logged == []


async def test_of_those_who_come_at_once_one_goes_on(keep: Keep) -> None:
    gateways = [keep(), keep()]
    stream = gateways[0].open(lanes=(Lane("s"),))
    gateways[0].left(stream, stream.lanes)
    await gateways[0].write()
    tries = [one.come(stream) for one in gateways * 4]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(answer, Resumption) for answer in answers) == 1
    assert sum(isinstance(answer, ResumeConflict) for answer in answers) == 7


async def test_an_old_token_is_worth_nothing_where_nothing_is_known_and_a_fresh_one_is(keep: Keep) -> None:
    here = keep(60.0)
    stream = Stream(here, kept=record(4))
    old = int(time.time()) - 61
    await refused(here.come(stream, issued_at=old), ResumeLate)
    came = await here.come(stream, opened_at=17)
    assert (came.opened_at, came.record.mark, came.missed, came.lanes) == (17, mark(4), (), None)


async def test_a_clock_that_jumps_takes_nothing_from_who_is_known(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = keep()
    stream = here.open()
    here.left(stream, ())
    shown = token(GRANT, stream.id)
    monkeypatch.setattr(time, "time", lambda: shown.issued_at + 1e6)
    assert (await here.claim(shown, GRANT, None)).generation == 2


async def test_nobody_comes_back_for_ever(keep: Keep) -> None:
    here = keep()
    stream = here.open(generation=MAX_GENERATION)
    await refused(here.come(stream, MAX_GENERATION), ResumeLate)
    assert stream.ended == []


# ---- taking over


async def test_who_comes_back_to_the_same_gateway_before_it_knows_takes_all_along(keep: Keep) -> None:
    here = keep()
    stream = here.open(lanes=(Lane("s"),), kept=record(1))
    came = await here.come(stream)
    assert stream.ended == ["let go"]
    assert came.lanes is stream.lanes
    here.go_on(came)
    await here.write()
    assert stream.ended == ["let go"]


async def test_who_is_gone_to_another_gateway_is_lost_here(keep: Keep) -> None:
    here, there = keep(), keep()
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
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Valkey was away for longer than the lease, and the client never got its newest token."""
    monkeypatch.setattr(records, "LEASE_S", 0.0)
    here = keep()
    stream = here.open(generation=2, lanes=(Lane("s"),))
    await here.write()
    came = await here.come(stream, 1)
    assert stream.ended == ["let go"]
    assert (came.generation, came.lanes) == (3, stream.lanes)


@pytest.mark.parametrize("newest_first", [False, True])
async def test_of_two_that_opened_here_the_newest_stays(keep: Keep, newest_first: bool) -> None:
    here = keep()
    name = str(uuid.uuid4())
    streams = {one: Stream(here, id=name, generation=one) for one in (2, 3)}
    for one in (3, 2) if newest_first else (2, 3):
        here.opened(streams[one])
    assert (streams[2].ended, streams[3].ended) == (["lost"], [])
    await here.write()
    assert [save.generation for save in here.records.told[-1]] == [3]


async def test_after_valkey_has_forgotten_all_is_written_once_more(keep: Keep) -> None:
    here, there = keep(), keep()
    stream = here.open(kept=record(3))
    await here.write()
    await here.records._redis.delete(*here.records._keys(stream.id))
    stream.says(4)
    await here.write()
    await here.write()
    came = await there.come(stream, last_seq=-1)
    assert [told.seq for told in came.missed] == [0, 1, 2, 3]


async def test_after_valkey_has_forgotten_what_is_parked_here_is_still_all_there(keep: Keep) -> None:
    here = keep()
    stream = here.open(lanes=(Lane("s"),), kept=record(3))
    here.left(stream, stream.lanes)
    await here.write()
    await here.records._redis.delete(*here.records._keys(stream.id))
    came = await here.come(stream, last_seq=0)
    assert came.lanes is stream.lanes
    assert len(came.missed) == 2


# ---- those who do not get in


async def test_who_does_not_get_in_may_come_again(keep: Keep) -> None:
    here, there = keep(), keep()
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


async def test_who_is_given_back_and_never_comes_is_in_the_log_as_before(keep: Keep) -> None:
    here = keep()
    stream = here.open()
    here.left(stream, ())
    here.give_back(await here.come(stream))
    await here.write()
    await pass_in(here.records, 61)
    await here.reap()
    assert ids(here.logged) == [stream.id]
