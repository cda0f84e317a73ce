from __future__ import annotations

from inference_worker.engines.base import Hypothesis, Output
from inference_worker.results import failure, messages
from inference_worker.streams import Stream
from wire.messages import Ended, Failed, Final, Flushed, Partial, Progress, SpeechStarted, StreamOptions, Word


def make(*, interim: bool = True, received: int = 3200) -> Stream:
    stream = Stream(
        id="s",
        epoch=2,
        gateway="g",
        tenant="acme",
        options=StreamOptions(interim_results=interim),
        start=1600,
    )
    stream.audio(1600, bytes(2 * (received - 1600)), 0.0)
    return stream


def said(*, final: bool) -> Hypothesis:
    return Hypothesis((Word("hi", 100, 150, 0.9),), 100, 200, is_final=final, stability=0.5)


def output(processed: int = 1600, confirmed: int = 1600, *says: Hypothesis, flushed: bool = False) -> Output:
    return Output(0, processed, confirmed, says, flushed=flushed)


def test_finals_are_counted_and_partials_go_to_those_who_asked() -> None:
    stream = make()
    kinds = [type(m) for m in messages(stream, output(3200, 2400, said(final=True), said(final=False)))]
    assert kinds == [Final, Partial, Progress]
    more = messages(stream, output(3200, 3200, said(final=True), said(final=True)))
    assert [m.index for m in more if isinstance(m, Final)] == [1, 2]
    assert [type(m) for m in messages(make(interim=False), output(1600, 1600, said(final=False)))] == []


def test_speech_is_announced_before_what_was_said() -> None:
    first, *_ = messages(make(), Output(0, 3200, 1600, (said(final=False),), speech_started_ms=110))
    assert first == SpeechStarted(stream="s", epoch=2, at_ms=110)


def test_the_watermark_is_sent_when_it_moves_and_never_goes_back() -> None:
    stream = make()
    assert messages(stream, output(3000, 2000)) == [
        Progress(stream="s", epoch=2, processed=3000, confirmed=2000)
    ]
    assert messages(stream, output(3000, 2000)) == []
    assert messages(stream, output(2000, 1800)) == []
    assert messages(stream, output(99_999, 99_999)) == [
        Progress(stream="s", epoch=2, processed=3200, confirmed=3200)
    ]


def test_the_end_of_speech_travels_with_the_watermark_and_may_go_back() -> None:
    stream = make()
    ends = []
    for processed, speech_end in ((3000, 3000), (3100, 9999), (3100, 2500), (3100, 2500)):
        for item in messages(stream, Output(0, processed, 2000, speech_end=speech_end)):
            assert isinstance(item, Progress)
            ends.append((item.processed, item.speech_end))
    assert ends == [(3000, 3000), (3100, 3100), (3100, 2500)]


def test_flushes_are_answered_after_their_finals() -> None:
    stream = make()
    stream.tokens = (4, 5)
    kinds = [type(m) for m in messages(stream, output(3200, 3200, said(final=True), flushed=True))]
    assert kinds == [Final, Progress, Flushed, Flushed]
    assert stream.tokens == ()


def test_the_end_comes_last_with_exactly_what_was_sent() -> None:
    stream = make()
    stream.tokens, stream.finishing = (4,), True
    *_, flushed, ended = messages(stream, output(2000, 1700, said(final=True), flushed=True))
    assert flushed == Flushed(stream="s", epoch=2, token=4)
    assert ended == Ended(stream="s", epoch=2, processed=3200)


def test_a_failure_says_how_much_was_done() -> None:
    stream = make()
    messages(stream, output(3000, 2000))
    assert failure(stream, "engine_failed") == Failed(
        stream="s", epoch=2, code="engine_failed", processed=3000
    )
