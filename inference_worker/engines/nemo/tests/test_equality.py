"""Our words are those of NeMo's own streaming pipeline, times and all, at every look-ahead."""

from __future__ import annotations

import random
from functools import cache

import pytest

from inference_worker.engines.nemo.tests import tiny
from inference_worker.engines.nemo.words import START
from inference_worker.tests.house import end, house, opening
from tests import nemo_pipeline, spoken
from wire.messages import SAMPLE_RATE, Audio, Ended, Final, Word

CONTEXTS = (0, 1, 6, 13)
FRAME_MS = 80


@cache
def clips() -> list[spoken.Samples]:
    """With the room before and after, so that no word begins or ends with the audio."""
    recording = spoken.recording()
    return [
        recording[clip.start - 8_000 : clip.start + clip.samples + 8_000 - 100 * number]
        for number, clip in enumerate(spoken.clips())
    ]


@cache
def expected(right: int) -> list[list[tuple[str, int, int, float]]]:
    pipeline = nemo_pipeline.make(tiny.TINY, right, len(clips()), left=tiny.LEFT)
    told = []
    for number, heard in enumerate(pipeline.transcribe(clips())):
        length = len(clips()[number]) * 1000 // SAMPLE_RATE
        told.append(
            [
                # A frame that only a part of has come ends with the audio.
                (w.text, round(w.start_s * 1000), min(round(w.end_s * 1000), length), round(w.confidence, 3))
                for w in heard.words
            ]
        )
    return told


def told(words: list[Word]) -> list[tuple[str, int, int, float]]:
    return [
        (word.text, word.start_ms, word.end_ms, pytest.approx(word.confidence, abs=2e-3)) for word in words
    ]


@pytest.mark.parametrize("right", CONTEXTS)
def test_alone_and_in_any_company_each_says_what_nemo_says(right: int) -> None:
    assert sum(len(words) for words in expected(right)) > 40
    engine = tiny.engine(right)
    audio = dict(enumerate(clips()))
    together = tiny.hear(engine, audio, tiny.some_of_them(right))
    assert [told(tiny.words(together[slot])) for slot in audio] == expected(right)
    for slot in (2, 7):
        alone = tiny.hear(engine, {slot: audio[slot]})
        assert told(tiny.words(alone[slot])) == expected(right)[slot]


async def test_however_the_audio_is_cut_on_its_way_to_the_worker() -> None:
    dice = random.Random(1)
    async with house(tiny.engine()) as there:
        waiting = {}
        for number, samples in enumerate(clips()):
            there.say(opening(str(number)))
            waiting[str(number)] = (samples * 32_768).astype("<i2").tobytes(), 0
        while waiting:
            name = dice.choice(sorted(waiting))
            pcm, position = waiting[name]
            part = 2 * dice.choice([1, 2, 37, 160, 800, 2559, 2560, 2561, 9000])
            there.say(
                Audio(stream=name, epoch=1, position=position // 2, pcm=pcm[position : position + part])
            )
            waiting[name] = pcm, position + part
            if position + part >= len(pcm):
                there.say(end(name))
                del waiting[name]
            await there.a_turn()
        for number in range(len(clips())):
            assert isinstance(await there.over(str(number)), Ended)
            words = [word for final in there.heard(Final, str(number)) for word in final.words]
            assert told(words) == expected(1)[number]


@pytest.mark.parametrize("streams", [1, 7, 64])
def test_in_the_deterministic_mode_not_a_bit_depends_on_the_load(streams: int) -> None:
    """Words, times and confidences: the whole of what is said."""
    engine = tiny.engine(slots=64, deterministic=True)
    audio = {slot: clips()[(3 + slot) % len(clips())] for slot in range(streams)}
    heard = tiny.hear(engine, audio, tiny.some_of_them(streams))
    assert tiny.words(heard[0]) == alone()
    if streams == 64:  # the same audio in other slots, at other times, in other places of the batch
        assert [tiny.words(heard[slot]) for slot in (16, 32, 48)] == [alone()] * 3


@cache
def alone() -> list[Word]:
    engine = tiny.engine(slots=64, deterministic=True)
    words = tiny.words(tiny.hear(engine, {5: clips()[3]})[5])
    assert len(words) > 3
    return words


def test_the_model_understands_what_the_tests_say() -> None:
    """Else all these comparisons would be of nonsense."""
    assert any(piece.startswith(START) for piece in tiny.engine()._vocabulary.pieces)
    heard = [" ".join(word for word, *_ in words) for words in expected(1)]
    right = sum(said == clip.text for said, clip in zip(heard, spoken.clips(), strict=True))
    assert right >= len(heard) / 2
