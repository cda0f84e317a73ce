"""A stream between a real house and a worker that is a hand: what is asked for reaches what is said."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest

from gateway import parameters
from gateway.auth import Authenticator, Failures, KeyCache
from gateway.callbacks import Callback
from gateway.door import Holder, OpenDoor
from gateway.errors import AccessRefused, GatewayError, NoCapacity, UrlRefused
from gateway.events import ClientMessage, Close, CloseStream, Problem, SpeechBegan, Summary, Transcript
from gateway.link import Placement
from gateway.outbound import Outbound
from gateway.process import Process
from gateway.session import Limits, State
from gateway.stream import Stream
from gateway.streams import Streams
from gateway.tests.doors import grant
from gateway.tests.driving import words
from gateway.tests.hand_link import HandLink, idle, until
from metering.emit import Emitter, Record
from tenants.access import KeyGrant
from tenants.errors import SpendCapReached
from wire.messages import (
    Abort,
    End,
    Ended,
    Final,
    Flush,
    Partial,
    SpeechStarted,
)

GRANT = grant()


class Kept(Emitter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Record] = []

    def emit(self, records: Iterable[Record]) -> None:
        self.records += records

    @property
    def callbacks(self) -> list[Callback]:
        return [record for record in self.records if isinstance(record, Callback)]


def house(link: HandLink) -> Process:
    async def find(prefix: str) -> KeyGrant | None:
        return None

    return Process(
        region="test",
        link=link,  # type: ignore[arg-type]
        streams=Streams(),
        authenticator=Authenticator(KeyCache(find=find, keep_s=5), Failures(per_minute=10)),
        admission=OpenDoor(),
        usage=Kept(),
        callbacks=Kept(),
        outbound=Outbound((ip_network("127.0.0.1/32"),)),
        limits=Limits(idle_s=10, max_s=60, window_s=1, usage_every_s=5),
        max_streams=2,
        trusted_proxy=False,
    )


async def opened(query: str, link: HandLink | None = None) -> Stream:
    link = link or HandLink()
    link.answers_flushes = True
    stream = Stream(house(link), GRANT, parameters.parse(f"encoding=linear16&{query}".encode()), "s")
    await stream.open()
    return stream


def said(stream: Stream) -> list[ClientMessage]:
    messages = []
    while (message := stream.next_message()) is not None:
        messages.append(message)
    return messages


def texts(stream: Stream) -> list[str]:
    found = [message for message in said(stream) if isinstance(message, Transcript)]
    return [" ".join(word.text for word in message.words) for message in found]


def final(index: int, text: str, epoch: int = 1) -> Final:
    return Final(stream="s", epoch=epoch, index=index, start_ms=0, end_ms=900, words=words(text))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "It's twenty-one, Bob."),
        ("smart_format=true", "It's 21, Bob."),
        ("punctuate=false", "it's twenty-one bob"),
        ("redact=numbers", "It's [NUMBERS], Bob."),
        ("smart_format=true&language=de", "It's twenty-one, Bob."),
    ],
)
async def test_every_result_is_as_it_was_asked_for(query: str, text: str) -> None:
    stream = await opened("interim_results=true&" + query)
    stream.receive_from_worker(
        Partial(stream="s", epoch=1, start_ms=0, end_ms=9, words=words("It's twenty-one, Bob."))
    )
    assert texts(stream) == [text]
    stream.receive_from_worker(final(0, "It's twenty-one, Bob."))
    assert texts(stream) == [text]


async def test_what_is_redacted_is_so_in_callbacks_too() -> None:
    stream = await opened("redact=numbers&callback=http://127.0.0.1:9999/")
    stream.receive_from_worker(final(0, "It's twenty-one, Bob."))
    assert texts(stream) == ["It's [NUMBERS], Bob."]
    (sent,) = stream.house.callbacks.callbacks  # type: ignore[attr-defined]
    assert "twenty" not in sent.body
    assert "[NUMBERS]" in sent.body


async def test_finals_and_the_summary_are_called_back_in_order_and_partials_are_not() -> None:
    stream = await opened("interim_results=true&callback=http://127.0.0.1:9999/x&callback_method=put")
    stream.receive_from_worker(Partial(stream="s", epoch=1, start_ms=0, end_ms=9, words=words("one")))
    said(stream)
    stream.receive_from_worker(final(0, "one."))
    stream.receive_from_worker(final(1, "two."))
    await stream.obey(CloseStream())
    stream.receive_from_worker(Ended(stream="s", epoch=1, processed=0))
    assert isinstance(said(stream)[-1], Summary)
    sent = stream.house.callbacks.callbacks  # type: ignore[attr-defined]
    assert [(one.number, one.method, one.project) for one in sent] == [
        (number, "put", str(GRANT.project_id)) for number in range(3)
    ]
    bodies = [json.loads(one.body) for one in sent]
    assert [body["type"] for body in bodies] == ["Results", "Results", "Metadata"]
    assert [body["seq"] for body in bodies[:2]] == [0, 1]


async def test_a_client_that_is_gone_is_still_called_back_what_it_did_not_read() -> None:
    stream = await opened("callback=http://127.0.0.1:9999/")
    stream.receive_from_worker(final(0, "one."))
    stream.leave()
    assert [one.number for one in stream.house.callbacks.callbacks] == [0]  # type: ignore[attr-defined]


async def test_a_callback_inwards_opens_nothing() -> None:
    link = HandLink()
    with pytest.raises(UrlRefused):
        await opened("callback=http://10.0.0.1/", link)
    assert link.asked == []


class Door(OpenDoor):
    """Writes down what happens at it."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def enter(self, stream: Holder, counted_ms: int = 0) -> None:
        self.seen.append("enter")

    def hand_over(self, stream: Holder) -> None:
        self.seen.append("hand over")

    def leave(self, stream: Holder, *, opened: bool = True) -> None:
        self.seen.append("leave")


@pytest.mark.parametrize(
    ("has_place", "refusal", "seen"),
    [
        (False, None, ["enter", "hand over"]),
        (False, NoCapacity(), ["enter", "leave"]),
        (True, None, ["hand over"]),
        # Who waits for a worker is refused again and again, and stays in his place meanwhile.
        (True, NoCapacity(), []),
    ],
)
async def test_a_place_is_given_back_by_whoever_took_it(
    has_place: bool, refusal: GatewayError | None, seen: list[str]
) -> None:
    at, door = house(HandLink(refusal=refusal)), Door()
    at.admission = door
    stream = Stream(at, GRANT, parameters.parse(b"encoding=linear16"), "s", has_place=has_place)
    with suppress(NoCapacity):
        await stream.open()
    assert door.seen == seen


# ---- wound up


HOLD = AccessRefused(SpendCapReached())


async def test_a_stream_on_hold_is_finished_and_then_told_why() -> None:
    link = HandLink()
    stream = await opened("", link)
    await stream.hear(b"\0\0" * 8_000)
    link.sent.clear()
    stream.house.streams.apply([replace(GRANT, hold="spend_cap")], datetime.now(UTC))
    assert [type(item) for item in link.sent] == [Flush, End]
    # The house looks several times a second.
    stream.house.streams.apply([], datetime.now(UTC))
    assert len(link.sent) == 2
    assert stream.wake.is_set()
    stream.receive_from_worker(final(0, "one."))
    stream.receive_from_worker(Ended(stream="s", epoch=1, processed=8_000))
    *_, result, problem = said(stream)
    assert isinstance(result, Transcript)
    assert isinstance(problem, Problem)
    assert (problem.error.code, problem.error.status) == ("spend_cap_reached", 402)
    stream.finish(stream.session.close_to_send or Close(1000))
    *usage, request = stream.house.usage.records  # type: ignore[attr-defined]
    assert [(event.from_ms, event.to_ms) for event in usage] == [(0, 500)]
    assert (request.outcome, request.status, request.billed_ms) == ("spend_cap_reached", 402, 500)


async def test_other_tenants_are_not_on_hold() -> None:
    stream = await opened("")
    stream.house.streams.apply([replace(grant(), hold="spend_cap")], datetime.now(UTC))
    assert stream.session.state is State.OPEN


async def test_a_recording_on_hold_is_ended_at_once() -> None:
    link = HandLink()
    wanted = replace(parameters.parse(b"encoding=linear16"), recorded=True)
    stream = Stream(house(link), GRANT, wanted, "s")
    await stream.open()
    await stream.hear(b"\0\0" * 8_000)
    assert stream.wind_up(HOLD)
    assert not stream.wind_up(HOLD)
    assert isinstance(link.sent[-1], Abort)
    assert [type(message) for message in said(stream)] == [Problem]


async def test_a_stream_that_is_put_on_hold_while_it_is_opened_is_refused() -> None:
    class SlowLink(HandLink):
        async def open(self, *args: Any, **named: Any) -> Placement:
            placement = await super().open(*args, **named)
            at.streams.apply([replace(GRANT, hold="payment")], datetime.now(UTC))
            return placement

    at = house(SlowLink())
    stream = Stream(at, GRANT, parameters.parse(b"encoding=linear16"), "s")
    with pytest.raises(AccessRefused) as refused:
        await stream.open()
    assert (refused.value.code, refused.value.status) == ("payment_overdue", 402)
    assert len(at.streams) == 0


async def test_a_stream_that_is_refused_looks_no_more_for_a_worker_in_place_of_one_it_has_lost() -> None:
    """Nobody would ever give that one's slot back."""

    class Crowded(HandLink):
        async def open(self, stream: str, *args: Any, **named: Any) -> Placement:
            if stream == "s.0":
                return await super().open(stream, *args, **named)
            self.gate.clear()
            refused.receive_worker_lost("s.0")
            await until(lambda: self.waiting == 1)
            raise NoCapacity

    link = Crowded()
    wanted = parameters.parse(b"encoding=linear16&channels=2&multichannel=true")
    refused = Stream(house(link), GRANT, wanted, "s")
    with pytest.raises(NoCapacity):
        await refused.open()
    link.gate.set()
    await idle()
    assert (link.waiting, link.open_now) == (0, set())


async def test_a_move_that_breaks_ends_the_stream_by_name() -> None:
    """It would have no worker, and nobody would look for one."""
    link = HandLink()
    stream = await opened("", link)
    link.refusal = RuntimeError("a mistake of ours")  # type: ignore[assignment]
    stream.receive_worker_lost("s")
    await idle()
    (problem,) = said(stream)
    assert isinstance(problem, Problem)
    assert problem.error.code == "internal_error"


async def test_a_usage_event_says_when_the_audio_was_processed() -> None:
    stream = await opened("")
    await stream.hear(b"\0\0" * 8_000)
    before = datetime.now(UTC)
    stream.receive_from_worker(final(0, "one."))
    await stream.obey(CloseStream())
    stream.receive_from_worker(Ended(stream="s", epoch=1, processed=8_000))
    stream.send_due()
    (event,) = stream.house.usage.records  # type: ignore[attr-defined]
    at = datetime.fromisoformat(event.processed_at)
    assert at.utcoffset() == timedelta(0)
    assert before - timedelta(milliseconds=1) <= at <= datetime.now(UTC)
    assert len(event.processed_at) == len("2026-01-01T00:00:00.000+00:00")


# ---- Configure


async def test_features_change_in_the_middle_and_the_worker_is_left_in_peace() -> None:
    link = HandLink()
    stream = await opened("interim_results=true", link)
    wanted = parameters.parse(
        b"encoding=linear16&interim_results=false&numerals=true&vad_events=true&utterance_end_ms=500"
    )
    await stream.change(wanted)
    stream.receive_from_worker(SpeechStarted(stream="s", epoch=1, at_ms=5))
    stream.receive_from_worker(Partial(stream="s", epoch=1, start_ms=0, end_ms=9, words=words("two")))
    stream.receive_from_worker(final(0, "two cats."))
    messages = said(stream)
    assert [type(message) for message in messages] == [SpeechBegan, Transcript]
    assert isinstance(messages[1], Transcript)
    assert [word.text for word in messages[1].words] == ["2", "cats."]
    assert stream.session.features.utterance_end_ms == 500
    assert len(link.asked) == 1


async def test_keyterms_change_with_the_worker_given_the_stream_anew() -> None:
    link = HandLink()
    stream = await opened("", link)
    await stream.hear(b"\0\0" * 160)
    await stream.change(parameters.parse(b"encoding=linear16&keyterm=snuffle"))
    assert [(one.epoch, one.start, one.options.keyterms) for one in link.asked] == [
        (1, 0, ()),
        (2, 160, ("snuffle",)),
    ]
    stream.finish(Close(1000))
