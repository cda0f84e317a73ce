"""Whoever comes back is billed what was done, and once, whatever is said of what there is.

Milliseconds of audio: what a worker has said it has processed, until the connection before was heard of last.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import GatewayError
from gateway.events import Close, CloseStream, Summary, Welcome
from gateway.resume import token
from gateway.resume.state import MAX_GENERATION
from gateway.resume.tests.returning import SECOND, Client, House, Make, billed, ended, final, left, progress
from gateway.stream import Stream


async def killed(here: House, stream: Stream) -> None:
    """What Valkey has heard stays, and nothing else."""
    here.keeper._open[stream.id].changed = True
    await here.keeper._write()
    del here.keeper._open[stream.id]
    here.process.streams.remove(stream)


def everything(*houses: House) -> list[tuple[int, int]]:
    return billed(event for house in houses for event in house.metered)


async def over(client: Client, stream: Stream) -> Summary:
    await stream.obey(CloseStream())
    ended(stream)
    *_, summary = client.hear(stream)
    stream.leave(1000)
    assert isinstance(summary, Summary)
    return summary


async def test_who_comes_back_here_again_and_again_pays_every_second_once(make: Make) -> None:
    here, client = make(), Client()
    stream = await client.come(here)
    for _ in range(5):
        await stream.hear(SECOND)
        progress(stream, stream.session.lanes[0].sent // 16 - 100)
        await left(stream)
        stream = await client.come(here)
        at = client.hear(stream)[0]
        assert isinstance(at, Welcome)
        assert at.resume_from_ms == stream.session.lanes[0].input_ms
    summary = await over(client, stream)
    assert everything(here) == [(0, 5000)]
    assert (summary.billed_ms, summary.audio_ms) == (5000, 5000)
    assert [(one.billed_ms, one.audio_ms, one.outcome) for one in here.logged] == [(5000, 5000, "done")]
    assert here.usage.records[-1] == here.logged[0]
    # None of it twice, also before the ledger looks.
    assert sum(event.to_ms - event.from_ms for event in here.metered) == 5000


async def test_what_a_worker_hears_again_elsewhere_is_not_billed_again(make: Make) -> None:
    here, there, client = make(), make(), Client()
    stream = await client.come(here)
    await stream.hear(SECOND * 8)
    progress(stream, 7_300)
    await killed(here, stream)
    stream = await client.come(there)
    client.hear(stream)
    assert stream.processed_ms == 7_300  # the audio of the day counts none of it twice
    assert there.process.streams.all() == [stream]
    await stream.hear(SECOND * 9)
    progress(stream, 6_000)
    assert stream.processed_ms == stream.session.billed_ms == 7_300
    summary = await over(client, stream)
    assert summary.billed_ms == 9_000
    assert everything(here, there) == [(0, 9_000)]
    assert (len(here.logged), len(there.logged)) == (0, 1)


async def test_who_comes_back_and_sends_nothing_pays_what_was_done(make: Make) -> None:
    """Also what the gateway that was killed had not billed yet."""
    here, there, client = make(), make(), Client()
    stream = await client.come(here)
    await stream.hear(SECOND * 4)
    progress(stream, 3_000)  # less than is billed at a time
    assert here.metered == []
    await killed(here, stream)
    stream = await client.come(there)
    summary = await over(client, stream)
    assert everything(here, there) == [(0, 3_000)]
    assert summary.billed_ms == there.logged[0].billed_ms == 3_000


@pytest.mark.parametrize("have_ms", [2_000, 3_000, 3_600, 4_000, 999_999_999])
async def test_what_the_client_has_no_more_is_billed_to_nobody(make: Make, have_ms: int) -> None:
    here, there, client = make(), make(), Client()
    stream = await client.come(here)
    await stream.hear(SECOND * 4)
    progress(stream, 3_000)
    await killed(here, stream)
    stream = await client.come(there, f"have_from_ms={have_ms}")
    welcome = client.hear(stream)[0]
    assert isinstance(welcome, Welcome)
    at = min(have_ms, 4_000)
    assert welcome.resume_from_ms == at
    await stream.hear(SECOND * 2)
    progress(stream, at + 1_500)
    await killed(there, stream)  # and once more: what was skipped stays so
    again = make()
    stream = await client.come(again)
    client.hear(stream)
    begin = stream.session.lanes[0].input_ms
    await stream.hear(SECOND * 2)
    summary = await over(client, stream)
    last = begin + 2_000
    assert everything(here, there, again) == ([(0, last)] if at <= 3_000 else [(0, 3_000), (at, last)])
    skipped = max(0, at - 3_000)
    assert summary.billed_ms == again.logged[0].billed_ms == last - skipped


@pytest.mark.parametrize(("ago_s", "from_ms"), [(30, 30_000), (0, 0), (-3_600, 0)])
async def test_nobody_is_further_on_than_there_was_time_for(make: Make, ago_s: int, from_ms: int) -> None:
    """Where only the token is known, it may have been silent for long since that."""
    here, client = make(), Client()
    await left(await client.come(here), code=1000)
    shown, client = token.read(client.token), Client(client.grant)
    opened_at = shown.opened_at - ago_s
    client.token = token.issue(replace(shown, stream=client.id, region="other", opened_at=opened_at))
    stream = await client.come(here, "have_from_ms=999999999")
    assert stream.visit is not None
    assert from_ms <= stream.visit.from_ms < from_ms + 5_000
    assert stream.session.billed_ms == 0


@pytest.mark.parametrize(
    "other",
    [
        "encoding=linear16&sample_rate=8000",
        "encoding=mulaw",
        "encoding=linear32&sample_rate=48000",
        "encoding=linear16&sample_rate=16000&channels=2",
    ],
)
async def test_with_another_encoding_the_stream_goes_on_in_its_own_time(make: Make, other: str) -> None:
    here, client = make(), Client()
    stream = await client.come(here)
    await stream.hear(SECOND * 2)
    progress(stream, 2_000)
    await left(stream)
    client.query = other
    stream = await client.come(here)
    form = stream.parameters
    a_sample = {"mulaw": 1, "linear32": 4}.get(str(form.encoding), 2)
    rate = form.sample_rate * form.channels * a_sample
    for _ in range(5):
        await stream.hear(bytes(rate // 5))
    summary = await over(client, stream)
    assert (summary.billed_ms, summary.audio_ms) == (3_000, 3_000)
    assert everything(here) == [(0, 3_000)]


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_all_channels_of_a_stream_come_back(make: Make, elsewhere: bool) -> None:
    here = make()
    there = make() if elsewhere else here
    client = Client(query="encoding=linear16&sample_rate=16000&channels=2&multichannel=true")
    stream = await client.come(here)
    await stream.hear(SECOND * 8)  # four of each
    progress(stream, 4_000, lane=0)
    progress(stream, 3_000, lane=1)
    final(stream, "left", 0, 900, lane=0)
    final(stream, "right", 0, 800, lane=1)
    client.hear(stream)
    await (killed(here, stream) if elsewhere else left(stream))
    stream = await client.come(there)
    welcome = client.hear(stream)[0]
    assert isinstance(welcome, Welcome)
    assert (welcome.next_seq, welcome.resume_from_ms) == (2, 0 if elsewhere else 4_000)
    assert [lane.name for lane in stream.session.lanes] == [f"{client.id}.0", f"{client.id}.1"]
    await stream.hear(SECOND * 2 * ((5_000 - welcome.resume_from_ms) // 1_000))
    summary = await over(client, stream)
    assert summary.billed_ms == 10_000
    for name in (f"{client.id}.0", f"{client.id}.1"):
        events = [event for house in {id(here): here, id(there): there}.values() for event in house.metered]
        assert billed(event for event in events if event.stream == name) == [(0, 5_000)]


async def test_less_audio_than_before_gives_nothing_back_and_takes_nothing(make: Make) -> None:
    here, there, client = make(), make(), Client()
    stream = await client.come(here)
    await stream.hear(SECOND * 8)
    progress(stream, 8_000)
    await killed(here, stream)
    stream = await client.come(there)
    client.hear(stream)
    await stream.hear(SECOND)
    summary = await over(client, stream)
    assert everything(here, there) == [(0, 8_000)]
    assert summary.billed_ms == 8_000


async def test_a_token_that_is_used_up_opens_nothing(make: Make) -> None:
    here, client = make(), Client()
    await left(await client.come(here))
    shown = token.read(client.token)
    client.token = token.issue(replace(shown, generation=MAX_GENERATION))
    with pytest.raises(GatewayError, match="too late"):
        await client.come(here)


async def test_a_stream_is_no_longer_than_any_however_often_it_is_come_back_to(make: Make) -> None:
    here, client = make(), Client()
    stream = await client.come(here)
    await left(stream)
    shown = token.read(client.token)
    client.token = token.issue(replace(shown, opened_at=shown.opened_at - 3_600))
    stream = await client.come(here)
    stream.tick()
    assert stream.session.close_to_send == Close(1008, "stream_too_long")
