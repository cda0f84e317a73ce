"""Which worker has each lane, with a link that is a hand and a worker that does what it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from gateway import places as places_module
from gateway import telemetry
from gateway.errors import EngineFailed, GatewayDraining, NoCapacity, NoWorker, UnknownModel
from gateway.lane import MAX_FRUITLESS_MOVES
from gateway.places import Wish
from gateway.session import State
from gateway.tests.hand_link import OWNER, SECOND, WISH, HandLink, Talk, idle, talk, until
from wire.messages import Abort, Audio, End, Ended, Failed, Flush, StreamOptions


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places_module, "LOOK_AGAIN_S", (0.0, 0.001))


@pytest.fixture
async def t(quick: None) -> AsyncIterator[Talk]:
    made = await talk(HandLink(), within_s=60.0)
    yield made
    made.places.release()
    await until(lambda: not made.places._moves)


# ---- a worker that is lost


async def test_a_lane_that_has_lost_its_worker_goes_on_with_another(t: Talk) -> None:
    replayed = telemetry.replayed_seconds._value.get()
    t.hears(3)
    t.processes(2)
    t.loses()
    assert t.now == {}
    await until(lambda: bool(t.now))
    assert t.now == {"s.0": "w2"}
    (first, second) = t.link.asked
    assert (second.epoch, second.start, second.replay_until) == (first.epoch + 1, 0, 32_000)
    audio = t.link.to("w2", Audio)
    assert {item.epoch for item in audio} == {second.epoch}
    assert b"".join(item.pcm for item in audio) == SECOND * 3
    assert ("w1", "s.0") not in t.link.open_now
    assert t.link.to("w1", Abort) == []  # nobody is there to read it
    assert telemetry.replayed_seconds._value.get() - replayed == 2.0


async def test_what_is_heard_meanwhile_is_not_lost(t: Talk) -> None:
    t.hears(1)
    t.link.gate.clear()
    t.loses()
    await until(lambda: t.link.waiting == 1)
    t.hears(2)
    t.link.gate.set()
    await until(lambda: bool(t.link.to("w2")))
    assert b"".join(item.pcm for item in t.link.to("w2", Audio)) == SECOND * 3


async def test_a_lane_waits_for_room(t: Talk) -> None:
    t.link.refusal = NoWorker()
    t.loses()
    await until(lambda: len(t.link.asked) >= 6)
    t.link.refusal = NoCapacity()
    await until(lambda: len(t.link.asked) >= 9)
    assert t.failures == []
    t.link.refusal = None
    await until(lambda: bool(t.now))
    assert t.session.state is State.OPEN


async def test_no_epoch_is_asked_for_twice(t: Talk) -> None:
    t.link.refusal = NoCapacity()
    t.loses()
    await until(lambda: len(t.link.asked) >= 8)
    t.link.refusal = None
    await until(lambda: bool(t.now))
    t.processes(0)
    t.loses()
    await until(lambda: bool(t.now))
    epochs = [request.epoch for request in t.link.asked]
    assert all(later > earlier for earlier, later in pairwise(epochs))
    # Of what was refused, each may have been as many attempts as a link makes.
    steps = [later - earlier for earlier, later in pairwise(epochs[1:-2])]
    assert min(steps) >= places_module.OPEN_ATTEMPTS


async def test_without_room_for_too_long_the_stream_fails_by_name(quick: None) -> None:
    t = await talk(HandLink(), within_s=0.05)
    t.link.refusal = NoCapacity()
    t.loses()
    await until(lambda: bool(t.failures))
    assert [error.code for error in t.failures] == ["worker_lost"]
    assert t.failures[0].retry_after_s is None or t.failures[0].status == 503
    assert len(t.link.asked) > 2
    await idle()
    assert t.places._moves == set()


async def test_a_stream_that_no_worker_can_hear_fails_with_what_they_said(t: Talk) -> None:
    t.hears(5)
    for number in range(1, MAX_FRUITLESS_MOVES + 1):
        t.loses(error=EngineFailed())
        await until(lambda number=number: t.now == {"s.0": f"w{number + 1}"})  # type: ignore[misc]
    t.loses(error=EngineFailed())
    assert t.session.state is State.CLOSED
    assert t.session.close_to_send is not None
    assert t.session.close_to_send.reason == "engine_failed"
    await idle()
    assert t.now == {}


@pytest.mark.parametrize(
    ("code", "name"), [("worker_stopping", "worker_lost"), ("audio_gap", "engine_failed")]
)
async def test_a_worker_that_gives_it_up_says_why(quick: None, code: str, name: str) -> None:
    t = await talk(HandLink(), within_s=0.0)
    t.link.refusal = NoCapacity()
    t.places.failed(Failed(stream="s.0", epoch=1, code=code, processed=0))
    await until(lambda: bool(t.failures))
    assert [error.code for error in t.failures] == [name]


async def test_one_that_is_lost_again_before_it_has_caught_up_is_moved_again(t: Talk) -> None:
    t.hears(3)
    t.processes(3)
    t.loses()
    await until(lambda: t.now == {"s.0": "w2"})
    t.loses()
    await until(lambda: t.now == {"s.0": "w3"})
    t.processes(3)
    await until(lambda: not t.places._moves)  # both of them are over, and none waits for the other's worker
    assert t.link.moves._value == 2


async def test_a_stream_that_ends_while_it_looks_for_room_takes_none(t: Talk) -> None:
    t.link.gate.clear()
    t.loses()
    await until(lambda: t.link.waiting == 1)
    t.session.receive_disconnect()
    t.link.gate.set()
    await until(lambda: not t.places._moves)
    assert t.now == {}
    (abort,) = t.link.to("w2")
    assert isinstance(abort, Abort)
    assert abort.epoch == t.link.asked[-1].epoch


async def test_one_that_is_wound_up_meanwhile_is_finished_by_the_next(t: Talk) -> None:
    t.hears(2)
    t.link.refusal = NoWorker()
    t.loses()
    assert t.places.complete
    assert not t.places.settled
    t.session.wind_up(GatewayDraining(), 0.0)
    t.link.refusal = None
    await until(lambda: bool(t.link.to("w2")))
    assert [type(item) for item in t.link.to("w2")[-2:]] == [Flush, End]


async def test_release_ends_what_is_under_way(t: Talk) -> None:
    t.link.gate.clear()
    t.loses()
    await until(lambda: t.link.waiting == 1)
    t.places.release()
    await until(lambda: not t.places._moves)
    assert (t.link.waiting, t.now, t.link.moves._value) == (0, {}, 2)


async def test_a_lane_that_has_ended_needs_no_worker(t: Talk) -> None:
    t.session.receive_from_worker(Ended(stream="s.0", epoch=1, processed=0))
    assert not t.places.leave("s.0")
    t.loses()
    await idle()
    assert len(t.link.asked) == 1
    assert t.places.settled


# ---- a worker that lives and is left


async def test_a_worker_is_left_when_another_has_taken_the_lane_and_not_before(t: Talk) -> None:
    t.hears(3)
    t.link.gate.clear()
    assert t.places.leave("s.0")
    await until(lambda: t.link.waiting == 1)
    assert t.now == {"s.0": "w1"}
    assert t.link.asked[-1].without == {"w1"}
    t.hears(1)
    t.processes(2)  # by the old one
    assert sum(len(item.pcm) for item in t.link.to("w1", Audio)) == 4 * len(SECOND)
    t.link.gate.set()
    await until(lambda: t.now == {"s.0": "w2"})
    assert t.link.to("w1")[-1] == Abort(stream="s.0", epoch=1, processed=32_000)
    assert ("w1", "s.0") not in t.link.open_now
    await until(lambda: bool(t.link.to("w2")))
    assert b"".join(item.pcm for item in t.link.to("w2", Audio)) == SECOND * 4


async def test_a_worker_is_not_left_while_nobody_has_room(t: Talk) -> None:
    t.link.pool.room = False
    assert not t.places.leave("s.0")
    t.link.pool.room = True
    t.link.refusal = NoCapacity()  # another was faster
    assert t.places.leave("s.0")
    await until(lambda: not t.places._moves)
    assert (t.now, t.failures) == ({"s.0": "w1"}, [])
    t.hears(1)
    assert t.link.to("w1", Audio)[-1].epoch == 1
    t.link.refusal = None
    assert t.places.leave("s.0")
    await until(lambda: t.now == {"s.0": "w2"})
    assert t.link.asked[-1].epoch > t.link.asked[-2].epoch


async def test_it_leaves_once_however_often_it_is_told_to(t: Talk) -> None:
    t.link.gate.clear()
    assert t.places.leave("s.0")
    assert not t.places.leave("s.0")
    await until(lambda: t.link.waiting == 1)
    assert not t.places.leave("s.0")
    assert len(t.places._moves) == 1
    t.link.gate.set()
    await until(lambda: t.now == {"s.0": "w2"})


async def test_a_worker_that_dies_while_it_is_left(t: Talk) -> None:
    t.hears(1)
    t.link.gate.clear()
    assert t.places.leave("s.0")
    await until(lambda: t.link.waiting == 1)
    t.loses()
    t.link.gate.set()
    await until(lambda: t.now == {"s.0": "w2"})
    t.processes(1)
    await until(lambda: not t.places._moves)
    assert t.now == {"s.0": "w2"}
    assert t.link.to("w1", Abort) == []


async def test_the_audio_of_a_replay_is_kept_while_a_worker_is_asked(t: Talk) -> None:
    t.hears(60)
    t.processes(40)
    t.link.gate.clear()
    t.places.leave("s.0")
    await until(lambda: t.link.waiting == 1)
    start = t.link.asked[-1].start
    t.processes(60)  # by the old one, so that less would be needed now
    assert t.lane.replay_from > start
    t.link.gate.set()
    await until(lambda: bool(t.link.to("w2", Audio)))
    assert t.link.to("w2", Audio)[0].position == start
    t.processes(50)
    t.processes(60)
    assert sum(len(item.pcm) for item in t.link.to("w2", Audio)) == 2 * (60 * 16_000 - start)


# ---- many at once


async def test_so_many_catch_up_at_a_time_and_the_next_when_one_has(quick: None) -> None:
    link = HandLink()
    talks = [await talk(link, within_s=60.0) for _ in range(5)]
    for one in talks:
        one.hears(2)
        one.processes(2)
        one.loses()
    for done in range(5):
        await until(lambda done=done: sum(bool(one.now) for one in talks) == min(5, done + 2))  # type: ignore[misc]
        await idle()
        assert sum(bool(one.now) for one in talks) == min(5, done + 2)
        next(one for one in talks if one.now and one.lane.catching_up).processes(2)
    await until(lambda: not any(one.places._moves for one in talks))


async def test_one_that_finds_no_room_holds_up_nobody(quick: None) -> None:
    link = HandLink()
    talks = [await talk(link, within_s=60.0) for _ in range(5)]
    link.refusal = NoCapacity()
    for one in talks:
        one.loses()
    await until(lambda: len(link.asked) > 25)
    link.refusal = None
    await until(lambda: all(one.now for one in talks))


async def test_one_that_does_not_catch_up_holds_up_the_others_for_so_long(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places_module, "CATCH_UP_S", 0.02)
    link = HandLink()
    talks = [await talk(link, within_s=60.0) for _ in range(5)]
    for one in talks:
        one.hears(2)
        one.processes(2)
        one.loses()
    await until(lambda: all(one.now for one in talks))


async def test_each_lane_of_a_stream_moves_by_itself(quick: None) -> None:
    t = await talk(HandLink(), lanes=2, within_s=60.0)
    t.hears(2)
    t.processes(2, 0)
    t.processes(2, 1)
    t.loses(1)
    await until(lambda: len(t.now) == 2)
    assert t.now == {"s.0": "w1", "s.1": "w3"}
    t.loses(0)
    await until(lambda: len(t.now) == 2)
    assert t.now == {"s.0": "w4", "s.1": "w3"}
    assert not t.places.settled
    t.processes(2, 0)
    t.processes(2, 1)
    assert t.places.settled
    await until(lambda: not t.places._moves)


# ---- something else is asked for


async def test_a_change_begins_anew_on_another_place(t: Talk) -> None:
    t.hears(2)
    t.processes(2)
    other = Wish(OWNER, StreamOptions(keyterms=("snuffle",)))
    await t.places.change(other)
    assert t.link.to("w1")[-1] == Abort(stream="s.0", epoch=1, processed=32_000)
    assert (t.link.asked[-1].start, t.link.asked[-1].options) == (32_000, other.options)
    assert t.now == {"s.0": "w2"}


async def test_a_change_waits_for_a_move_and_a_move_for_a_change(t: Talk) -> None:
    t.link.gate.clear()
    t.loses()
    await until(lambda: t.link.waiting == 1)
    changing = asyncio.create_task(t.places.change(WISH))
    await idle()
    assert t.link.waiting == 1
    t.link.gate.set()
    await changing
    assert t.now == {"s.0": "w3"}
    t.link.gate.clear()
    changing = asyncio.create_task(t.places.change(WISH))
    await until(lambda: t.link.waiting == 1)
    t.places.leave("s.0")
    await idle()
    assert t.link.waiting == 1
    t.link.gate.set()
    await changing
    await until(lambda: not t.places._moves)
    assert t.now == {"s.0": "w4"}


async def test_a_lane_that_is_lost_while_the_other_is_changed_is_moved(quick: None) -> None:
    t = await talk(HandLink(), lanes=2, within_s=60.0)
    changing = asyncio.create_task(t.places.change(WISH))
    await until(lambda: t.now.get("s.0") == "w3")
    t.link.gate.clear()
    t.loses(0)
    t.link.gate.set()
    await changing
    await until(lambda: len(t.now) == 2)
    assert set(t.now.values()).isdisjoint({"w1", "w2", "w3"})


async def test_a_change_waits_for_room_and_says_what_nobody_serves(t: Talk) -> None:
    t.link.refusal = NoCapacity()
    changing = asyncio.create_task(t.places.change(WISH))
    await until(lambda: len(t.link.asked) > 3)
    t.link.refusal = UnknownModel()
    with pytest.raises(UnknownModel):
        await changing
    assert t.now == {}
    t.link.refusal = None
    await t.places.change(WISH)
    assert len(t.now) == 1


async def test_a_stream_that_is_over_is_not_opened_by_a_change_that_was_under_way(t: Talk) -> None:
    t.link.gate.clear()
    changing = asyncio.create_task(t.places.change(WISH))
    await until(lambda: t.link.waiting == 1)
    t.session.receive_disconnect()
    t.places.release()
    t.link.gate.set()
    await changing
    assert t.now == {}
    assert isinstance(t.link.to("w2")[-1], Abort)


async def test_opening_asks_for_every_lane_once() -> None:
    t = await talk(HandLink(), lanes=2)
    assert t.now == {"s.0": "w1", "s.1": "w2"}
    assert t.places.complete
    assert t.places.opened("s.1").worker == "w2"
