"""Utterances of words: what the model and the detector hear is given, so that every case can be had."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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

    def hear(self, word: int | None = None, samples: int = CHUNK, *, flush: bool = False) -> Output:
        chunk = self.listener.chunk(np.zeros(samples, np.float32), flush=flush, last=False)
        tokens = NOTHING if word is None else Tokens([word], [self._frame], [0.5])
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
