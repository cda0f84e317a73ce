"""Utterances of words: what the model and the detector hear is given, so that every case can be had."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from inference_worker.engines.base import Hypothesis, Output
from inference_worker.engines.nemo.decoder import NOTHING, Tokens
from inference_worker.engines.nemo.listener import Grid, Listener
from inference_worker.engines.nemo.recogniser import Sound
from inference_worker.engines.nemo.words import Vocabulary
from wire.messages import StreamOptions

CHUNK, FRAME, WINDOW = 2560, 1280, 512
PIECES = ("▁one", "▁two", "▁three")
VOCABULARY = Vocabulary(PIECES, lambda ids: "".join(PIECES[i] for i in ids).replace("▁", " "), frozenset())


class Stream:
    """Of somebody who speaks, as the detector hears it, all the time."""

    def __init__(self, **options: object) -> None:
        wish = StreamOptions(**options)  # type: ignore[arg-type]
        self.listener = Listener(0, wish, 0, VOCABULARY, Grid(CHUNK, FRAME), 0.0)
        self._now, self._frame = 0.0, 0

    def hear(
        self, word: int | None = None, samples: int = CHUNK, *, flush: bool = False, sure: float = 0.5
    ) -> Output:
        chunk = self.listener.chunk(np.zeros(samples, np.float32), flush=flush, last=False)
        tokens = NOTHING if word is None else Tokens([word], [self._frame], [sure])
        self.listener.take(chunk, Sound(tokens, [(0.99, -20.0)] * (samples // WINDOW)))
        if flush:
            self.listener.flush(last=False)
        self._now += CHUNK / 16_000
        self._frame += CHUNK // FRAME
        return self.listener.output(self._now)


def texts(hypotheses: Sequence[Hypothesis]) -> list[str]:
    return [word.text for hypothesis in hypotheses for word in hypothesis.words]


def test_a_flush_while_somebody_speaks_makes_the_last_word_final_too() -> None:
    stream = Stream()
    for word in (0, 1, 2):
        stream.hear(word)
    output = stream.hear(samples=CHUNK // 2, flush=True)
    assert texts(output.hypotheses) == ["one", "two", "three"]
    assert (output.processed, output.confirmed, output.flushed) == (7 * FRAME, 7 * FRAME, True)


def test_flushes_one_after_another_while_somebody_speaks_are_all_answered() -> None:
    stream = Stream(interim_results=True)
    for word in (0, 1, 2):
        stream.hear(word)
    outputs = [stream.hear(samples=700, flush=True) for _ in range(4)]
    assert all(output.flushed for output in outputs)
    finals = [h for output in outputs for h in output.hypotheses if h.is_final]
    assert texts(finals) == ["one", "two", "three"]


def test_the_last_word_before_noise_is_final_where_no_pause_ends_an_utterance() -> None:
    stream = Stream(endpointing_ms=0)
    outputs = [stream.hear(word) for word in (0, 1, 2)] + [stream.hear() for _ in range(200)]
    finals = [h for output in outputs for h in output.hypotheses]
    assert texts(finals) == ["one", "two", "three"]
    assert not any(final.speech_final for final in finals)
    assert outputs[-1].processed - outputs[-1].confirmed < 20 * 16_000  # a piece of noise is no longer


def test_what_is_final_is_not_said_again_as_a_partial() -> None:
    stream = Stream(interim_results=True)
    outputs = [stream.hear(word) for word in (0, 1, 2)] + [stream.hear() for _ in range(10)]
    kinds = [h.is_final for output in outputs for h in output.hypotheses]
    assert kinds.count(True) == 1
    assert kinds[-1]


def test_a_chunk_may_hold_the_end_of_one_utterance_and_the_beginning_of_the_next() -> None:
    chunk = 14 * FRAME  # a look-ahead of 13
    listener = Listener(0, StreamOptions(endpointing_ms=200), 0, VOCABULARY, Grid(chunk, FRAME), 0.0)

    def hear(tokens: Tokens, speech: str) -> Output:
        chances = [(0.99 if heard == "x" else 0.01, -20.0) for heard in speech]
        listener.take(
            listener.chunk(np.zeros(chunk, np.float32), flush=False, last=False), Sound(tokens, chances)
        )
        return listener.output(0.0)

    assert len("x" * 35) == chunk // WINDOW
    first = hear(Tokens([0], [10], [0.9]), "." * 20 + "x" * 15)
    assert first.speech_started_ms is not None
    # One more word, a pause of 320 ms, and somebody speaks again, all in one chunk.
    second = hear(Tokens([1, 2], [15, 25], [0.9, 0.9]), "x" * 5 + "." * 10 + "x" * 20)
    assert [texts([final]) for final in second.hypotheses] == [["one", "two"]]
    assert second.hypotheses[0].speech_final
    third = hear(NOTHING, "." * 35)
    assert [texts([final]) for final in third.hypotheses] == [["three"]]


def test_what_the_customer_calls_a_pause_is_waited_for_in_noise_too() -> None:
    stream = Stream(endpointing_ms=3000)
    outputs = [stream.hear(0)] + [stream.hear() for _ in range(30)]
    final = next(number for number, output in enumerate(outputs) if output.hypotheses)
    assert 3.0 <= final * CHUNK / 16_000 <= 3.4
    assert outputs[final].hypotheses[0].speech_final


def test_words_after_an_end_in_noise_are_the_start_of_speech_again() -> None:
    stream = Stream()
    outputs = [stream.hear(0)] + [stream.hear() for _ in range(8)]
    assert any(h.speech_final for output in outputs for h in output.hypotheses)
    assert sum(output.speech_started_ms is not None for output in outputs) == 1
    again = stream.hear(1)
    assert again.speech_started_ms == 9 * CHUNK // 16
    assert stream.hear(2).speech_started_ms is None


def test_a_stream_whose_numbers_are_none_any_more_cannot_go_on() -> None:
    stream = Stream()
    with pytest.raises(ArithmeticError):
        stream.hear(0, sure=float("nan"))
