"""Connections of one stream, one after the other: what each is told, and what it leaves behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.errors import (
    AccessRefused,
    BadAudio,
    ClientTooSlow,
    GatewayDraining,
    GatewayError,
    IdleTimeout,
    InternalError,
    StreamTooLong,
    Unavailable,
    WorkerLost,
)
from gateway.events import Close, CloseStream, Problem, Summary, Transcript, Welcome
from gateway.region_errors import RegionDraining
from gateway.resume.errors import (
    ResumeBadToken,
    ResumeForeign,
    ResumeLate,
    ResumeOff,
    ResumeUnsuitable,
)
from gateway.resume.tests.returning import SECOND, Client, Make, ended, final, left, progress
from gateway.session import State
from gateway.stream import Stream
from gateway.tests.driving import partial
from regions.flags import RESUME, Setting, flags
from tenants.errors import KeyRevoked, SpendCapReached

# ---- what it is told


async def test_only_who_says_so_is_told_at_once_how_to_come_back(make: Make) -> None:
    here, knows, other = make(), Client(query=Client.query + "&resume=true"), Client()
    said = knows.hear(await knows.come(here))
    assert said == [Welcome(knows.token, 0, 0, 60.0)]
    stream = await other.come(here)
    assert other.hear(stream) == []
    final(stream, "hello", 0, 500)
    (result,) = other.hear(stream)
    assert isinstance(result, Transcript)
    assert result.resume_token == other.token != ""


async def test_who_wants_nothing_kept_gets_no_token_and_nothing_is_kept(make: Make) -> None:
    here, client = make(), Client(query=Client.query + "&resume=false")
    stream = await client.come(here)
    final(stream, "hello", 0, 500)
    (result,) = client.hear(stream)
    assert isinstance(result, Transcript)
    assert (result.resume_token, result.mark, client.token) == ("", None, "")
    await left(stream)
    assert not here.keeper._parked
    assert [one.outcome for one in here.logged] == ["client_left"]


async def test_partials_have_none(make: Make) -> None:
    here, client = make(), Client(query=Client.query + "&interim_results=true")
    stream = await client.come(here)
    stream.receive_from_worker(partial("hel"))
    assert all(not message.resume_token for message in client.hear(stream) if isinstance(message, Transcript))


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_first_it_is_told_where_to_go_on_and_then_what_it_has_missed(
    make: Make, elsewhere: bool
) -> None:
    here = make()
    there = make() if elsewhere else here
    client = Client()
    stream = await client.come(here)
    await stream.hear(SECOND * 4)
    for place, text in enumerate(("one", "two", "three")):
        final(stream, text, 1000 * place, 1000 * place + 900)
    progress(stream, 4000, 3500)
    client.hear(stream)
    await left(stream)
    await here.keeper._write()

    again = await client.come(there, "last_seq=0")
    welcome, *missed = client.hear(again)
    assert isinstance(welcome, Welcome)
    assert (welcome.next_seq, welcome.resume_from_ms) == (3, 0 if elsewhere else 4000)
    assert [(told.seq, told.words[0].text) for told in missed] == [(1, "two"), (2, "three")]  # type: ignore[union-attr]
    final(again, "four", 5000, 5900)
    (result,) = client.hear(again)
    assert isinstance(result, Transcript)
    assert result.seq == 3
    assert again.id == stream.id
    assert again.about.created[:19] == stream.about.created[:19]  # to the second


async def test_no_channel_is_heard_again_before_all_are_open(make: Make) -> None:
    """What a worker said of it would have no number yet."""
    here = make()
    client = Client(query="encoding=linear16&sample_rate=16000&channels=2&multichannel=true")
    stream = await client.come(here)
    await stream.hear(SECOND * 4)
    await left(stream)
    opening, given = here.link.open, here.link.given()

    async def slow(*args: Any, **named: Any) -> Any:
        for coming in here.process.streams.all():
            assert isinstance(coming, Stream)
            coming.send_due()  # as a lane does that has lost its worker so early, and has another
        assert here.link.given() == given
        return await opening(*args, **named)

    here.link.open = slow  # type: ignore[method-assign]
    await client.come(here)
    assert here.link.given() != given


# ---- when it may be come back to

COMES_BACK: list[tuple[GatewayError | None, int, bool]] = [
    (None, 1006, True),
    (None, 1001, True),
    (None, 1000, False),
    (None, 1005, False),
    (GatewayDraining(), 0, True),
    (RegionDraining(), 0, True),
    (WorkerLost(), 0, True),
    (ClientTooSlow(), 0, True),
    (IdleTimeout(), 0, True),
    (InternalError(), 0, True),
    (StreamTooLong(), 0, False),
    (BadAudio(), 0, False),
    (AccessRefused(KeyRevoked()), 0, False),
    (AccessRefused(SpendCapReached()), 0, False),
]


@pytest.mark.parametrize(("error", "code", "may"), COMES_BACK, ids=lambda one: getattr(one, "code", str(one)))
async def test_what_ended_it_says_whether_it_may_be_come_back_to(
    make: Make, error: GatewayError | None, code: int, may: bool
) -> None:
    here, client = make(), Client()
    stream = await client.come(here)
    await left(stream, error, code)
    assert len(here.logged) == (not may)
    if may:
        assert (await client.come(here)).visit
    else:
        with pytest.raises(ResumeLate):
            await client.come(here)
        assert len(here.logged) == 1


async def test_a_stream_that_ended_well_is_over_when_the_client_has_closed_it(make: Make) -> None:
    here, client = make(), Client()
    stream = await client.come(here)
    await stream.obey(CloseStream())
    ended(stream)
    assert isinstance(client.hear(stream)[-1], Summary)
    stream.leave(1000)
    assert [one.outcome for one in here.logged] == ["done"]
    with pytest.raises(ResumeLate):
        await client.come(here)


async def test_who_was_cut_off_before_the_last_words_came_may_hear_them_again(make: Make) -> None:
    here, client = make(), Client()
    stream = await client.come(here)
    await stream.hear(SECOND * 2)
    await stream.obey(CloseStream())
    final(stream, "last words", 0, 1900)
    ended(stream)
    while stream.next_message() is not None:
        pass  # and nothing of it arrives
    stream.leave(1006)
    assert here.logged == []

    again = await client.come(here, "last_seq=-1")
    welcome, _ = client.hear(again)
    assert isinstance(welcome, Welcome)
    assert welcome.resume_from_ms == 2000
    assert client.said == ["last words"]
    await again.obey(CloseStream())
    ended(again)
    (summary,) = client.hear(again)
    assert isinstance(summary, Summary)
    assert (summary.audio_ms, summary.billed_ms) == (2000, 2000)
    again.leave(1000)
    assert [(one.outcome, one.billed_ms) for one in here.logged] == [("done", 2000)]
    assert [(one.from_ms, one.to_ms) for one in here.metered] == [(0, 2000)]


async def test_a_stream_on_hold_that_is_being_wound_up_needs_a_key_that_is_good(make: Make) -> None:
    """The handshake looks at the key before it looks at the token: here only what the stream says counts."""
    here, client = make(), Client()
    stream = await client.come(here)
    here.process.streams.apply([replace(client.grant, hold="spend_cap")], datetime.now(UTC))
    ended(stream)
    stream.finish(stream.session.close_to_send or Close(1000))
    with pytest.raises(ResumeLate):
        await client.come(here)
    assert [one.outcome for one in here.logged] == ["spend_cap_reached"]


async def test_who_is_sent_away_and_closes_the_socket_at_once_may_come_back(make: Make) -> None:
    here, client = make(), Client(query=Client.query + "&resume=true")
    stream = await client.come(here)
    client.hear(stream)
    assert stream.move_away("wss://other.example")
    welcome, problem = client.hear(stream)
    assert isinstance(welcome, Welcome)
    assert welcome.url == "wss://other.example"
    assert isinstance(problem, Problem)
    assert problem.error.code == "region_draining"
    stream.leave(1000)  # before it has heard the close frame
    assert here.logged == []
    assert (await client.come(make())).visit


async def test_who_cannot_come_back_is_not_sent_away(make: Make) -> None:
    here = make()
    for query in ("", "&resume=false"):
        stream = await Client(query=Client.query + query).come(here)
        assert not stream.move_away()
        assert stream.session.state is State.OPEN
        await left(stream, code=1000)


async def test_a_stop_while_one_is_being_opened_breaks_nothing(make: Make) -> None:
    here, client = make(), Client(query=Client.query + "&resume=true")
    moved: list[bool] = []
    opening = here.link.open

    async def slow(*args: Any, **named: Any) -> Any:
        moved.extend(stream.move_away("") for stream in here.process.streams.all())
        return await opening(*args, **named)

    here.link.open = slow  # type: ignore[method-assign]
    await client.come(here)
    assert moved == [False]


# ---- refusals


async def test_refusals_have_names_and_take_nothing_from_whom_it_belongs_to(make: Make) -> None:
    here, client = make(), Client()
    stream = await client.come(here)
    for other, more, error in (
        (Client(token="x.y.z"), "", ResumeBadToken),
        (Client(token=client.token), "", ResumeForeign),
        (Client(token=client.token), "channels=2&multichannel=true", ResumeUnsuitable),
        (replace(client), "resume=false", ResumeOff),
    ):
        with pytest.raises(error):
            await other.come(here, more)
    assert stream.session.state is State.OPEN


async def test_it_can_be_switched_off_for_a_tenant(make: Make) -> None:
    here, client, other = make(), Client(), Client()
    await client.come(here)
    await left(await other.come(here))
    here.process.regional.flags = flags([Setting(RESUME, "", client.grant.tenant_id, False)])
    with pytest.raises(ResumeOff):
        await client.come(here)
    assert (await Client(grant=client.grant).come(here)).visit is None
    assert (await other.come(here)).visit is not None


async def test_without_a_keeper_there_is_no_coming_back(make: Make) -> None:
    here, client = make(), Client()
    await client.come(here)
    here.process.keeper = None
    with pytest.raises(ResumeOff):
        await client.come(here)
    assert (await Client().come(here)).visit is None


@pytest.mark.parametrize("why", ["draining", "full", "revoked", "no worker"])
async def test_who_does_not_get_in_has_lost_nothing(make: Make, why: str) -> None:
    here, there, client = make(), make(), Client()
    stream = await client.come(here)
    await stream.hear(SECOND)
    progress(stream, 700)
    final(stream, "one", 0, 500)
    await left(stream)
    await here.keeper._write()
    opening = there.link.open

    async def trouble(*args: Any, **named: Any) -> Any:
        if why == "revoked":
            gone = replace(client.grant, revoked_at=datetime(2020, 1, 1, tzinfo=UTC))
            there.process.streams.apply([gone], datetime.now(UTC))
        if why == "draining":
            there.process.streams.fail_all(GatewayDraining())
        if why == "no worker":
            raise Unavailable
        return await opening(*args, **named)

    there.link.open = trouble  # type: ignore[method-assign]
    there.process.max_streams = 0 if why == "full" else 10
    with pytest.raises(GatewayError):
        await client.come(there)
    assert len(there.process.streams) == 0
    assert there.usage.records == []
    await there.keeper._write()
    there.link.open, there.process.max_streams = opening, 10  # type: ignore[method-assign]
    again = await client.come(there, "last_seq=-1")
    client.hear(again)
    assert client.said == ["one"]


async def test_a_resumption_that_is_given_up_half_way_is_given_back(make: Make) -> None:
    here, client = make(), Client()
    await left(await client.come(here))
    waits = asyncio.Event()

    async def never(*_: Any, **__: Any) -> Any:
        waits.set()
        await asyncio.Event().wait()

    opening, here.link.open = here.link.open, never  # type: ignore[method-assign]
    coming = asyncio.create_task(client.come(here))
    await waits.wait()
    coming.cancel()
    await asyncio.gather(coming, return_exceptions=True)
    here.link.open = opening  # type: ignore[method-assign]
    assert (await client.come(here)).visit
