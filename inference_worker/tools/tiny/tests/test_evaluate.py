"""What the README says of the tiny model, on the little that is in the repository."""

import jiwer

from inference_worker.engines.nemo.tests import tiny
from inference_worker.tools.tiny.evaluate import transcripts
from inference_worker.tools.tiny.voices import HELD_OUT
from tests import spoken


def wrong(held_out: bool) -> float:
    clips = [clip for clip in spoken.clips() if (clip.voice == HELD_OUT.name) is held_out]
    assert len(clips) >= 4
    room = spoken.RATE // 2
    audio = [spoken.recording()[clip.start - room : clip.start + clip.samples + room] for clip in clips]
    return jiwer.wer([clip.text for clip in clips], list(transcripts(tiny.engine(slots=32), audio)))


def test_it_understands_texts_it_was_not_trained_on() -> None:
    assert wrong(held_out=False) <= 0.08  # of 78 words


def test_it_understands_a_voice_it_was_not_trained_on() -> None:
    assert wrong(held_out=True) <= 0.20
