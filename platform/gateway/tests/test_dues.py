"""What a stream owes: usage as events, and what is called back, in whatever connection."""

from __future__ import annotations

from typing import Any

from gateway.dues import Dues
from gateway.events import SpeechBegan, Summary, Transcript, UsageRange
from gateway.tests.driving import words
from gateway.tests.test_stream import GRANT, opened
from metering.events import UsageEvent


def final(seq: int, *, is_final: bool = True) -> Transcript:
    return Transcript(seq=seq, words=words("hi"), start_ms=0, end_ms=1, is_final=is_final)


async def test_usage_is_whose_it_is_and_from_where() -> None:
    stream = await opened("tag=night")
    Dues(stream).meter([UsageRange("s", 5, 9)])
    (event,) = stream.house.usage.records  # type: ignore[attr-defined]
    assert isinstance(event, UsageEvent)
    assert (event.tenant, event.project, event.key) == (
        str(GRANT.tenant_id),
        str(GRANT.project_id),
        str(GRANT.key_id),
    )
    assert (event.stream, event.from_ms, event.to_ms, event.region, event.worker, event.tags) == (
        "s", 5, 9, "test", "w1", ("night",),
    )  # fmt: skip


async def test_nothing_is_said_of_nothing() -> None:
    stream = await opened("")
    Dues(stream).meter([])
    assert stream.house.usage.records == []  # type: ignore[attr-defined]


async def called(stream: Any) -> list[int]:
    return [one.number for one in stream.house.callbacks.callbacks]


async def test_finals_and_the_end_are_called_back_and_nothing_else() -> None:
    stream = await opened("callback=http://127.0.0.1:9999/")
    dues = Dues(stream)
    for message in (final(0), final(1, is_final=False), SpeechBegan(1), None, final(1), Summary(1, "", 1)):
        dues.call_back(message)
    assert await called(stream) == [0, 1, 2]
    assert dues.called_back == 3


async def test_what_the_connection_before_has_called_back_is_not_called_back_again() -> None:
    stream = await opened("callback=http://127.0.0.1:9999/")
    dues = Dues(stream, called_back=2)
    for seq in range(4):
        dues.call_back(final(seq))
    assert await called(stream) == [2, 3]
