"""The link against a real Valkey, with a worker played by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from channels_redis.pubsub import RedisPubSubChannelLayer
from redis import asyncio as aioredis

from gateway.errors import NoCapacity, NoWorker, UnknownModel
from gateway.link import Link
from gateway.tests.hands import DEADLINE_S, OWNER, REGION, Ear, Pair, heartbeat_of, linked
from wire.addresses import heartbeat_group
from wire.codec import encode_heartbeat
from wire.messages import (
    Abort,
    Failed,
    Final,
    Heartbeat,
    Open,
    Opened,
    Refused,
    StreamOptions,
    WorkerState,
)


@pytest.fixture
async def pair(valkey_server: str) -> AsyncIterator[Pair]:
    async with linked(valkey_server) as made:
        await made.ready()
        yield made


async def test_a_stream_finds_a_worker_and_hears_its_results(pair: Pair) -> None:
    ear = Ear()
    placement = await pair.open(ear)
    assert placement.opened.worker == "hand"
    final = Final(stream="s", epoch=1, index=0, start_ms=0, end_ms=1, words=())
    await pair.worker.say(final)
    await ear.something()
    assert ear.items == [final]
    pair.link.release(placement.address, "s", placement.epoch)
    assert pair.link.active == 0


async def test_with_no_worker_it_says_so(valkey_server: str) -> None:
    async with linked(valkey_server) as pair:
        with pytest.raises(NoWorker):
            await pair.open(Ear())


async def test_with_no_room_it_says_when_to_come_back(pair: Pair) -> None:
    pair.worker.answer = lambda o: Refused(
        stream=o.stream, epoch=o.epoch, code="no_capacity", retry_after_s=7
    )
    with pytest.raises(NoCapacity) as refused:
        await pair.open(Ear())
    assert refused.value.retry_after_s == 7
    assert pair.link.active == 0


async def test_the_worker_is_told_whose_a_stream_is_and_how_far_it_was_heard_of(pair: Pair) -> None:
    placement = await pair.open(Ear())
    opening = await pair.worker.heard(Open)
    assert isinstance(opening, Open)
    assert (opening.tenant, opening.project, opening.key, opening.tags) == (
        "tenant", "project", "key", ("night",)
    )  # fmt: skip
    pair.link.give_back(placement, 810)
    assert await pair.worker.heard(Abort) == Abort(stream="s", epoch=placement.epoch, processed=810)


async def test_a_language_nobody_speaks_is_the_clients_mistake(pair: Pair) -> None:
    with pytest.raises(UnknownModel, match=r"m \(en\)"):
        await pair.link.open("s", OWNER, StreamOptions(language="tlh"), Ear())


async def test_a_version_that_no_worker_has_is_the_clients_mistake(pair: Pair) -> None:
    pair.worker.answer = lambda o: Refused(stream=o.stream, epoch=o.epoch, code="unknown_version")
    with pytest.raises(UnknownModel, match=r"not this version \(7\)"):
        await pair.link.open("s", OWNER, StreamOptions(version="7"), Ear())


async def test_a_worker_that_does_not_answer_is_told_to_forget_the_stream(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.link.OPEN_TIMEOUT_S", 0.05)
    pair.worker.answer = lambda opening: None
    with pytest.raises(NoCapacity):
        await pair.open(Ear())
    abort = await pair.worker.heard(Abort)
    assert abort == Abort(stream="s", epoch=1, processed=0)


async def test_a_client_that_leaves_while_it_waits_frees_the_slot(pair: Pair) -> None:
    pair.worker.answer = lambda opening: None
    waiting = asyncio.create_task(pair.open(Ear()))
    await pair.worker.heard(Open)
    waiting.cancel()
    await pair.worker.heard(Abort)
    assert pair.link.active == 0


async def test_a_worker_that_falls_silent_is_lost_and_its_streams_are_told_once(pair: Pair) -> None:
    ear = Ear()
    await pair.open(ear)
    pair.link.pool.silent_after_s = 0.2
    await ear.something()
    assert (ear.lost, ear.items) == (1, [])
    with pytest.raises(NoWorker):
        await pair.open(Ear())


async def test_a_worker_that_stops_is_lost_at_once(pair: Pair) -> None:
    ear = Ear()
    await pair.open(ear)
    await pair.worker.beat(WorkerState.STOPPED)
    await ear.something()
    assert ear.lost == 1


async def test_a_worker_that_beats_but_does_not_acknowledge_is_lost(pair: Pair) -> None:
    ear = Ear()
    placement = await pair.open(ear)
    peer = pair.link._workers[placement.address].peer
    peer.broken_after_s, peer.resend_after_s = 0.3, 0.05
    pair.worker.deaf = True
    pair.link.send(placement.address, [Abort(stream="s", epoch=1)])
    pair.link.pool.silent_after_s = 60
    await ear.something()
    assert ear.lost == 1


async def test_a_lost_worker_that_comes_back_gets_streams_on_a_new_link(pair: Pair) -> None:
    ear = Ear()
    await pair.open(ear)
    await pair.worker.beat(WorkerState.STOPPED)
    await ear.something()
    pair.worker.peers.clear()
    await pair.ready()
    placement = await pair.open(Ear(), "t")
    assert placement.opened.stream == "t"


async def test_other_regions_and_garbage_are_not_heard(pair: Pair) -> None:
    stranger = Heartbeat(
        worker="x",
        address="x",
        region="mars",
        state=WorkerState.READY,
        engine="e",
        model="m",
        languages=("en",),
        capacity=1,
        active=0,
    )
    group = heartbeat_group(REGION)
    await pair.worker.layer.group_send(group, encode_heartbeat(stranger))
    await pair.worker.layer.group_send(group, {"type": "wire.envelope", "data": b"\xc1 garbage"})
    await pair.worker.layer.group_send(group, {"type": "no.such.type"})
    # What comes after them on the same channel has been handled, so they have been too.
    ear = Ear()
    await pair.open(ear)
    assert [h.worker for h in pair.link.pool.all()] == ["hand"]
    assert pair.link.alive


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not true():  # noqa: ASYNC110 - the link has no hook for it, and needs none
            await asyncio.sleep(0.005)


async def test_what_is_no_message_at_all_does_not_deafen_the_link(pair: Pair, valkey_server: str) -> None:
    placement = await pair.open(Ear())
    gateway = next(iter(pair.worker.peers))
    async with aioredis.from_url(valkey_server) as client:
        assert await client.publish(gateway, b"\xc1 not even msgpack") == 1
        assert await client.publish(gateway, b"\xa3abc") == 1
    ear = Ear()
    await pair.open(ear, "t")
    await pair.worker.say(Final(stream="t", epoch=1, index=0, start_ms=0, end_ms=1, words=()))
    await ear.something()
    assert placement.opened.worker == "hand"
    assert pair.link.alive


async def test_a_worker_that_stops_right_after_it_took_a_stream_has_not_taken_it(pair: Pair) -> None:
    pair.worker.answer = lambda opening: None
    ear = Ear()
    opening = asyncio.create_task(pair.open(ear))
    request = await pair.worker.heard(Open)
    # Both are there before the one who opens has had a turn.
    answer = Opened(stream="s", epoch=request.epoch, worker="hand", model="m", version="1", arch="a")
    assert pair.link._answer_open(answer)
    pair.link._lose(pair.worker.mailbox.address, "stopped")
    with pytest.raises(NoWorker):
        await opening
    assert ear.lost == 0  # it has been told otherwise


async def test_a_stream_that_fails_before_it_is_known_to_be_open_was_not_opened(pair: Pair) -> None:
    pair.worker.answer = lambda opening: None
    ear = Ear()
    opening = asyncio.create_task(pair.open(ear))
    request = await pair.worker.heard(Open)
    answer = Opened(stream="s", epoch=request.epoch, worker="hand", model="m", version="1", arch="a")
    # In one message, so that whoever opens it has had no turn in between.
    await pair.worker.say(
        answer, Failed(stream="s", epoch=request.epoch, code="worker_stopping", processed=0)
    )
    with pytest.raises(NoCapacity):
        await opening
    assert (ear.items, pair.link.active) == ([], 0)


async def test_streams_hear_of_a_worker_that_drains_as_long_as_it_does(pair: Pair) -> None:
    ear = Ear()
    await pair.open(ear)
    for state in (WorkerState.DRAINING, WorkerState.UNHEALTHY):
        await pair.worker.beat(state)
        await ear.something()
    assert (ear.leaving, ear.lost) == (2, 0)


async def test_a_stream_for_which_nothing_is_done_is_to_leave(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.link.STALLED_LOOK_S", 0.0)
    ear = Ear()
    await pair.open(ear)
    assert ear.leaving == 0
    ear.stuck = True
    await ear.something()
    assert ear.leaving


async def test_what_an_earlier_epoch_says_is_nobodys(pair: Pair) -> None:
    first, second = Ear(), Ear()
    await pair.open(first)
    await pair.link.open("s", OWNER, StreamOptions(), second, epoch=5, start=1600, replay_until=3200)
    opening = next(item for item in pair.worker.received if isinstance(item, Open) and item.epoch == 5)
    assert (opening.start, opening.replay_until) == (1600, 3200)
    late = Final(stream="s", epoch=1, index=0, start_ms=0, end_ms=1, words=())
    good = Final(stream="s", epoch=5, index=0, start_ms=0, end_ms=1, words=())
    await pair.worker.say(late, good)
    await second.something()
    assert (first.items, second.items) == ([], [good])


def test_a_link_that_was_kept_from_its_work_listens_before_it_judges(valkey_server: str) -> None:
    """Else all workers would be lost whenever this process is suspended for a second."""
    link = Link(RedisPubSubChannelLayer(hosts=[valkey_server], prefix="steno"), REGION)

    def known() -> list[str]:
        return [heartbeat.worker for heartbeat in link.pool.all()]

    link.pool.hear(heartbeat_of("loud"), 0.0)
    link.pool.hear(heartbeat_of("dead"), 0.0)
    link._lose_the_silent(5.0)
    assert known() == ["loud", "dead"]
    link.pool.hear(heartbeat_of("loud"), 5.05)  # it had said so meanwhile
    link._lose_the_silent(5.1)
    assert known() == ["loud"]
    # One that is always late judges every second time.
    link._lose_the_silent(10.0)
    link._lose_the_silent(15.0)
    assert known() == []


async def test_a_link_without_streams_is_kept(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.link.KEEPALIVE_S", 0.05)
    placement = await pair.open(Ear())
    pair.link.release(placement.address, "s", placement.epoch)
    peer = pair.link._workers[placement.address].peer
    await until(lambda: peer.idle)
    heard = pair.worker.envelopes
    await until(lambda: pair.worker.envelopes >= heard + 3)


async def test_a_redis_that_hangs_does_not_hide_that_a_worker_is_silent(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.link.KEEPALIVE_S", 0.0)
    monkeypatch.setattr("gateway.link.SEND_TIMEOUT_S", 60.0)
    ear = Ear()
    await pair.open(ear)

    async def hang(channel: str, message: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(pair.link._layer, "send", hang, raising=False)
    pair.link.pool.silent_after_s = 0.2
    await ear.something()
    assert ear.lost == 1


async def test_workers_that_come_while_something_is_sent_do_no_harm(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.link.KEEPALIVE_S", 0.0)
    await pair.open(Ear())
    send, came = pair.link._layer.send, 0

    async def send_while_another_comes(channel: str, message: dict[str, object]) -> None:
        nonlocal came
        came += 1
        pair.link._worker(f"worker.{came}")
        await send(channel, message)

    monkeypatch.setattr(pair.link._layer, "send", send_while_another_comes, raising=False)
    await until(lambda: came >= 4)
    assert pair.link.alive


async def test_a_link_waits_for_a_redis_that_is_not_there_yet(
    valkey_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.link.START_AGAIN_S", 0.01)
    layer = RedisPubSubChannelLayer(hosts=[valkey_server], prefix="steno")
    new_channel, tries = layer.new_channel, 0

    async def come_late(prefix: str) -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionError("refused")
        name: str = await new_channel(prefix)
        return name

    monkeypatch.setattr(layer, "new_channel", come_late, raising=False)
    link = Link(layer, REGION)
    assert not link.alive
    await link.start()
    assert (tries, link.alive) == (3, True)
    await link.stop()


async def test_who_releases_a_stream_that_another_connection_has_by_now_takes_nothing_from_it(
    pair: Pair,
) -> None:
    before, after = Ear(), Ear()
    old = await pair.open(before)
    new = await pair.link.open("s", OWNER, StreamOptions(), after, epoch=7)
    pair.link.release(old.address, "s", old.epoch)
    final = Final(stream="s", epoch=7, index=0, start_ms=0, end_ms=1, words=())
    await pair.worker.say(final)
    await after.something()
    assert (before.items, after.items) == ([], [final])
    pair.link.release(new.address, "s", new.epoch)
    assert pair.link.active == 0
