from __future__ import annotations

import asyncio
from itertools import pairwise

import numpy as np
import pytest

from inference_worker.engines.base import Hypothesis
from inference_worker.engines.moonshine import CHUNK_S, CHUNK_SAMPLES, MoonshineEngine
from inference_worker.engines.partials import REPEAT_NOW_S, REPEAT_SOON_S, Partials
from inference_worker.engines.tests.driving import Heard, chunks, step
from inference_worker.engines.tests.speech import Quick, Timed, beside_recordings, model, paced, two_cities
from inference_worker.tests.house import end, house, opening
from tests import recordings
from wire.messages import SAMPLE_RATE, Audio, Ended, Partial, StreamOptions, Word


def words(text: str) -> tuple[Word, ...]:
    return tuple(Word(one, 0, 100, 0.9) for one in text.split())


def say(
    partials: Partials,
    now: float,
    heard_ms: int,
    *,
    speaking: bool = True,
    final_due: bool = False,
    again_soon: bool = False,
) -> Hypothesis | None:
    return partials.say(now, heard_ms, speaking=speaking, final_due=final_due, again_soon=again_soon)


def told(text: str = "so it was") -> Partials:
    """At 1.0 s, of audio up to 1000 ms."""
    partials = Partials(0.0)
    partials.hear(words(text), 200, 1000, in_pause=False)
    assert say(partials, 1.0, 1000) is not None
    return partials


def test_a_hearing_is_said_once_and_at_once() -> None:
    partials = Partials(0.0)
    assert say(partials, 0.9, 900) is None
    partials.hear(words("so it"), 200, 900, in_pause=False)
    said = say(partials, 0.95, 960)
    assert said is not None
    assert (said.words, said.start_ms, said.end_ms, said.is_final) == (words("so it"), 200, 900, False)
    assert say(partials, 0.96, 960) is None


def test_stability_is_the_share_of_words_heard_twice() -> None:
    partials = told("so it wash")
    partials.hear(words("so it was the"), 200, 1300, in_pause=False)
    said = say(partials, 1.3, 1300)
    assert said is not None
    assert said.stability == 0.5


def test_it_is_repeated_with_how_far_was_heard_before_300_ms_are_over() -> None:
    for again_soon, after in ((True, REPEAT_SOON_S), (False, REPEAT_NOW_S)):
        partials = told()
        assert after <= 0.3 - (0.01 if again_soon else 0.096)
        assert say(partials, 1.0 + after - 0.01, 1250, again_soon=again_soon) is None
        again = say(partials, 1.0 + after + 0.001, 1280, again_soon=again_soon)
        assert again is not None
        assert (again.words, again.end_ms) == (words("so it was"), 1280)
        assert say(partials, 1.0 + after + 0.05, 1330, again_soon=again_soon) is None


def test_nothing_is_repeated_when_nothing_more_was_heard() -> None:
    assert say(told(), 5.0, 1000) is None


def test_the_end_never_goes_back() -> None:
    partials = told()
    assert say(partials, 1.3, 1300) is not None
    partials.hear(words("so it was the"), 200, 1200, in_pause=False)  # a slow decoder
    said = say(partials, 1.35, 1350)
    assert said is not None
    assert (said.words, said.end_ms) == (words("so it was the"), 1300)


def test_silence_repeats_nothing_and_drops_what_comes_late() -> None:
    partials = told()
    assert say(partials, 1.5, 1500, speaking=False) is None
    partials.hear(words("so it was then"), 200, 1200, in_pause=False)
    assert say(partials, 1.6, 1600, speaking=False) is None
    assert say(partials, 9.0, 9000, speaking=False) is None


def test_the_words_before_a_pause_are_said_once_if_they_are_others_in_the_end() -> None:
    partials = told()
    partials.hear(words("so it was"), 200, 1200, in_pause=True)
    assert say(partials, 1.5, 1500, speaking=False) is None
    partials.hear(words("so it was then"), 200, 1200, in_pause=True)
    said = say(partials, 1.5, 1500, speaking=False)
    assert said is not None
    assert said.end_ms == 1200
    assert say(partials, 5.0, 5000, speaking=False) is None


def test_what_follows_a_final_waits_for_it_while_the_old_words_are_repeated() -> None:
    partials = told()
    partials.next_piece()
    partials.hear(words("the next"), 1100, 1300, in_pause=False)
    again = say(partials, 1.3, 1300, final_due=True)
    assert again is not None
    assert again.words == words("so it was")
    partials.final_said(1100, 1.4)
    following = say(partials, 1.4, 1400)
    assert following is not None
    assert (following.words, following.stability) == (words("the next"), 0.0)


def test_after_its_final_an_utterance_is_not_repeated() -> None:
    partials = told()
    partials.next_piece()
    partials.final_said(1100, 1.1)
    assert say(partials, 3.0, 3000) is None


def test_a_hearing_without_words_changes_nothing() -> None:
    partials = told()
    partials.hear((), 200, 1200, in_pause=False)
    assert say(partials, 1.1, 1100) is None
    again = say(partials, 1.3, 1300)
    assert again is not None
    assert again.words == words("so it was")


def gaps_while_speaking(model: Quick) -> list[float]:
    """Seconds between two results, from the first partial of two_cities.wav until somebody pauses."""
    clock, told = model.clock, []
    engine = MoonshineEngine(1, model=model, clock=lambda: clock[0])  # type: ignore[arg-type]
    engine.open(0, StreamOptions(interim_results=True), 0)
    samples = two_cities()[: 4 * SAMPLE_RATE]
    for number, row in enumerate(chunks(0, samples, CHUNK_SAMPLES), 1):
        clock[0] = max(clock[0], number * CHUNK_S)
        heard: dict[int, Heard] = {}
        step(engine, [row], heard)
        while engine.backlog and model.glances < model.hangs_from:
            step(engine, [], heard)
        told += [clock[0] for one in heard.values() if one.partials]
    model.gate.set()
    engine.shut_down()
    return [round(after - before, 3) for before, after in pairwise(told)]


@pytest.mark.parametrize(
    ("seconds", "recordings_beside"), [(0.03, 0), (0.13, 0), (0.2, 0), (0.08, 2), (0.2, 2)]
)
def test_partials_come_every_300_ms_while_somebody_speaks(
    monkeypatch: pytest.MonkeyPatch, seconds: float, recordings_beside: int
) -> None:
    """However long a decoder takes, and whatever else it has to do."""
    monkeypatch.setattr("inference_worker.engines.moonshine.PATIENCE_S", 0)
    model = Timed(seconds)
    engine = MoonshineEngine(8, model=model, clock=lambda: model.clock[0])  # type: ignore[arg-type]
    audio = two_cities()[: 12 * SAMPLE_RATE]
    gaps, firsts, last, started = [], [], None, None
    for at, output in model.pace(engine, beside_recordings(engine, audio, recordings_beside)):
        if output.slot != 0 or at > 12:
            continue
        if output.hypotheses:
            gaps += [] if last is None else [at - last]
            firsts += [] if started is None else [at - started]
            last, started = at, None
        if output.speech_started_ms is not None:  # what comes with it is of the utterance before
            started, last = at, None
        if not engine._listeners[0]._endpointer.speaking:
            last = None
    engine.shut_down()
    assert len(gaps) >= 25
    assert max(gaps) <= 0.3
    assert len(firsts) >= 3
    assert max(firsts) <= 0.3 + seconds * (2 if recordings_beside else 1)


def test_the_last_partial_is_repeated_while_no_decoder_is_there_for_a_new_one() -> None:
    model = Quick([0.0], hangs_from=2)
    gaps = gaps_while_speaking(model)
    assert len(gaps) >= 7
    assert max(gaps) <= 0.3
    assert model.glances == 2


def test_the_last_partial_is_repeated_in_time_though_no_computing_time_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Steps are a chunk apart then, so it is now or too late."""
    monkeypatch.setattr("inference_worker.engines.moonshine.PATIENCE_S", 0)
    model, told = Timed(0.08), list[float]()
    engine = MoonshineEngine(1, model=model, clock=lambda: model.clock[0])  # type: ignore[arg-type]
    for at, output in model.pace(engine, beside_recordings(engine, two_cities()[: 3 * SAMPLE_RATE], 0)):
        told += [at for hypothesis in output.hypotheses if at <= 3]
        if told:
            engine._credit.share, engine._credit.seconds = 0.0, 0.0
    assert model.begun <= 3
    assert len(told) >= 5
    assert max(after - before for before, after in pairwise(told)) <= 0.3
    engine.shut_down()


@pytest.mark.parametrize("endpointing_ms", [None, 0, 5000])
def test_no_partial_comes_for_silence(endpointing_ms: int | None) -> None:
    clock = [0.0]
    engine = MoonshineEngine(1, model=model(), clock=lambda: clock[0])
    speech = recordings.samples("beckett.wav")[: 3 * SAMPLE_RATE]
    audio = np.concatenate([speech, np.zeros(8 * SAMPLE_RATE, np.float32)])
    heard = paced(clock, engine, audio, interim_results=True, endpointing_ms=endpointing_ms)
    speech_end = heard.outputs[-1].speech_end
    assert 0 < speech_end < 3.2 * SAMPLE_RATE
    assert heard.partials
    for output in heard.outputs:
        for hypothesis in output.hypotheses:
            assert hypothesis.end_ms * 16 <= speech_end + SAMPLE_RATE // 4
            assert hypothesis.is_final or output.processed <= speech_end + SAMPLE_RATE // 2
    engine.shut_down()


def test_partials_grow_while_somebody_speaks() -> None:
    clock = [0.0]
    engine = MoonshineEngine(1, model=model(), clock=lambda: clock[0])
    heard = paced(clock, engine, two_cities()[: 6 * SAMPLE_RATE], interim_results=True)
    before_the_final = []
    for hypothesis in heard.hypotheses:
        if hypothesis.is_final:
            break
        before_the_final.append(hypothesis)
    assert len(before_the_final) >= 5
    assert before_the_final[0].end_ms < 3500
    lengths = [len(partial.words) for partial in before_the_final]
    assert lengths[-1] > lengths[0]
    assert all(0 <= partial.stability <= 1 for partial in before_the_final)
    assert any(partial.stability >= 0.5 for partial in before_the_final)
    assert [output.speech_started_ms for output in heard.outputs if output.speech_started_ms is not None]
    engine.shut_down()


async def test_partials_come_while_somebody_speaks_into_a_worker() -> None:
    """In real time; a busy machine makes them rarer, so this is about their being there."""
    pcm = (two_cities()[: 7 * SAMPLE_RATE] * 32767).astype("<i2").tobytes()
    packet = SAMPLE_RATE // 10 * 2
    async with house(MoonshineEngine(2, model=model())) as h:
        h.say(opening(interim_results=True))
        for at in range(0, len(pcm), packet):
            h.say(Audio(stream="s", epoch=1, position=at // 2, pcm=pcm[at : at + packet]))
            await asyncio.sleep(0.1)
        partials = h.heard(Partial)
        assert len(partials) >= 6
        assert len({partial.words for partial in partials}) >= 3
        assert [partial.end_ms for partial in partials] == sorted(partial.end_ms for partial in partials)
        h.say(end())
        assert isinstance(await h.over(), Ended)
