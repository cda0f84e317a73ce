"""Two connections of one stream: what the old one does later touches nothing of the new one."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest

from gateway.errors import (
    ClientTooSlow,
)
from gateway.events import Close, CloseStream, Finalize, KeepAlive, Problem, Welcome
from gateway.resume import keeper
from gateway.resume.errors import (
    ResumeConflict,
    ResumedElsewhere,
)
from gateway.resume.state import EPOCHS
from gateway.resume.tests.returning import SECOND, Client, Make, final, left
from wire.messages import Abort, Flush, Flushed

# ---- two connections at once


async def test_an_old_connection_that_still_moves_touches_nothing_of_the_new_one(make: Make) -> None:
    here, client = make(), Client()
    old = await client.come(here)
    await old.hear(SECOND)
    new = await client.come(here)
    assert old.session.error is not None
    assert old.session.error.code == "resumed_elsewhere"
    before = list(here.link.sent)
    await new.hear(SECOND[:3200])
    mine = here.link.sent[len(before) :]
    # Whatever the dead socket still had in its buffers:
    lane = new.session.lanes[0]
    lane.send_audio(SECOND[:320], lane.input_ms + 10)
    lane.bill()
    for act in (old.tick, old.send_due, lambda: old.fail(ClientTooSlow()), lambda: old.leave(1000)):
        act()
    await old.hear(SECOND)
    await old.obey(KeepAlive())
    await old.obey(Finalize())
    await old.obey(CloseStream())
    old.finish(Close(1000))
    assert here.link.sent == before + mine
    assert len(here.process.streams) == 1
    assert here.process.streams.all() == [new]
    assert here.logged == []
    new.send_due()
    assert here.link.given()[-1] == (17_600, 17_760)
    (problem,) = client.hear(old)
    assert isinstance(problem, Problem)
    assert old.session.close_to_send == Close(4409, "resumed_elsewhere")
    assert here.keeper._open[new.id].stream is new.visit


async def test_a_connection_that_is_lost_ends_at_once_though_its_client_does_not_read(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "REFRESH_EVERY_S", 0.0)
    here, there, client = make(), make(), Client(query=Client.query + "&callback=http://127.0.0.1:9999/")
    old = await client.come(here)
    await old.hear(SECOND)
    await here.keeper._write()
    final(old, "unread", 0, 500)
    new = await client.come(there)
    await here.keeper._write()
    assert isinstance(old.session.error, ResumedElsewhere)
    assert isinstance(here.link.sent[-1], Abort)
    assert len(here.process.streams) == 0
    assert here.logged == there.logged == []
    # What it had not said is the other one's to say.
    assert here.process.callbacks.callbacks == []  # type: ignore[attr-defined]
    final(new, "unread", 0, 500)
    client.hear(new)
    assert client.said == ["unread"]
    assert [one.number for one in there.process.callbacks.callbacks] == [0]  # type: ignore[attr-defined]


async def test_who_comes_twice_at_once_is_told_so(make: Make) -> None:
    here, client = make(), Client()
    await left(await client.come(here))
    twin = replace(client)
    await client.come(here)
    with pytest.raises(ResumeConflict):
        await twin.come(here)


# ---- what stays


async def test_a_final_that_waited_for_its_flush_is_said_once(make: Make) -> None:
    here, client = make(), Client()
    stream = await client.come(here)
    await stream.hear(SECOND)
    await stream.obey(Finalize())
    final(stream, "one", 0, 500)  # the last one before the flush is to be marked, so it waits
    assert client.hear(stream) == []
    await left(stream)
    again = await client.come(here)
    client.hear(again)
    (flush,) = [item for item in here.link.sent if isinstance(item, Flush) and item.epoch > 1]
    lane = again.session.lanes[0]
    final(again, "one", 0, 500)  # the new worker hears it again
    again.receive_from_worker(Flushed(stream=lane.name, epoch=lane.epoch, token=flush.token))
    client.hear(again)
    assert [text for text in client.said if text] == ["one"]


async def test_callbacks_go_on_where_they_were(make: Make) -> None:
    here, there, client = make(), make(), Client(query=Client.query + "&callback=http://127.0.0.1:9999/")
    stream = await client.come(here)
    final(stream, "one", 0, 500)
    client.hear(stream)
    final(stream, "two", 600, 900)
    await here.keeper._write()  # and the gateway is gone, before this was said to anybody
    again = await client.come(there)
    client.hear(again)
    final(again, "three", 1000, 1900)
    await left(again, code=1000)
    sent = [*here.process.callbacks.callbacks, *there.process.callbacks.callbacks]  # type: ignore[attr-defined]
    assert [one.number for one in sent] == [0, 1, 2]
    assert ['"one"' in sent[0].body, '"two"' in sent[1].body, '"three"' in sent[2].body] == [True] * 3


async def test_audio_that_a_thread_still_decodes_is_not_finished_beside_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, client = make(), Client()
    here.process.limits = replace(here.process.limits, window_s=0.5)
    stream = await client.come(here)
    hearing = asyncio.create_task(stream.hear(SECOND * 6))  # more than is decoded on the loop
    async with asyncio.timeout(5):
        while not here.link.given():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await left(stream)
    stream.room.set()
    await hearing
    again = await client.come(here)
    welcome = client.hear(again)[0]
    assert isinstance(welcome, Welcome)
    assert welcome.resume_from_ms * 16 == again.session.lanes[0].sent == here.link.given()[-1][1]


async def test_each_connection_has_epochs_of_its_own(make: Make) -> None:
    """A worker takes only a newer one than it has, and two connections may not know of each other."""
    here, there, client = make(), make(), Client()
    for house in (here, there) * 3:
        stream = await client.come(house)
        await left(stream)
        await house.keeper._write()
    first, second = ([one.epoch for one in house.link.asked] for house in (here, there))
    in_turn = [epoch for both in zip(first, second, strict=True) for epoch in both]
    assert in_turn[0] == 1
    between = [later - before for before, later in itertools.pairwise(in_turn[1:])]
    assert between == [EPOCHS] * 4
    assert in_turn[1] == 2 * EPOCHS + 1
