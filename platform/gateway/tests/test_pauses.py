from __future__ import annotations

from gateway.pauses import PauseWatch
from wire.messages import Word


def word(end_ms: int) -> Word:
    return Word("hi", end_ms - 100, end_ms, 0.9)


def test_the_end_is_said_once_and_with_the_end_of_the_last_word() -> None:
    watch = PauseWatch(1000)
    watch.hear([word(400), word(900)])
    assert watch.silence(1800, 950) is None
    assert watch.silence(1949, 950) is None
    assert watch.silence(1950, 950) == 900
    assert watch.silence(5000, 950) is None


def test_each_utterance_has_an_end() -> None:
    watch = PauseWatch(1000)
    watch.hear([word(900)])
    assert watch.silence(2000, 900) == 900
    watch.hear([word(3000)])
    assert watch.silence(4000, 3000) == 3000


def test_nobody_has_ended_who_has_not_spoken() -> None:
    watch = PauseWatch(1000)
    assert watch.silence(60_000, 0) is None
    watch.hear([])
    assert watch.silence(60_000, 0) is None


def test_speech_whose_words_are_still_to_come_puts_the_end_off() -> None:
    watch = PauseWatch(1000)
    watch.hear([word(900)])
    for heard_ms in range(1000, 5000, 100):
        assert watch.silence(heard_ms, heard_ms) is None
    watch.hear([word(4800)])
    assert watch.silence(5850, 4900) is None
    assert watch.silence(5900, 4900) == 4800


def test_an_engine_that_cannot_tell_is_judged_by_its_words() -> None:
    watch = PauseWatch(1000)
    watch.hear([word(900)])
    assert watch.silence(1900, 0) == 900
