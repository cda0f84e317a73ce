"""How many words the model gets wrong: `python -m inference_worker.tools.tiny.evaluate MODEL.nemo`.

On texts that it was not trained on, said by voices that it was, and on the same by one that it was not;
clean, and as rooms and telephones leave them. Streamed, by the engine itself.
"""

from __future__ import annotations

import argparse
import random
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import jiwer
import numpy as np

from inference_worker.engines.base import Row
from inference_worker.engines.nemo.engine import NemoEngine
from inference_worker.engines.nemo.loading import load
from inference_worker.tools.tiny import texts, voices
from inference_worker.tools.tiny.voices import HELD_OUT, RATE, TRAINING, Samples, Voice
from wire.messages import StreamOptions

SEED, AT_ONCE = 1_000, 32


def transcripts(engine: NemoEngine, clips: Sequence[Samples]) -> Iterator[str]:
    size = engine.info.chunk_samples
    for first in range(0, len(clips), AT_ONCE):
        audio = dict(enumerate(clips[first : first + AT_ONCE]))
        words: dict[int, list[str]] = {slot: [] for slot in audio}
        for slot in audio:
            engine.open(slot, StreamOptions(endpointing_ms=0), 0)
        for begin in range(0, max(map(len, audio.values())), size):
            rows = [
                Row(slot, samples[begin : begin + size], last=begin + size >= len(samples))
                for slot, samples in audio.items()
                if begin < len(samples)
            ]
            for output in engine.step(rows).outputs:
                words[output.slot] += [w.text for h in output.hypotheses if h.is_final for w in h.words]
        for slot in audio:
            engine.close(slot)
            yield " ".join(words[slot])


def spoken(said: Sequence[str], voice: Voice | None, *, rough: bool) -> list[Samples]:
    dice, noise = random.Random(SEED), np.random.default_rng(SEED)
    clips = []
    for text in said:
        samples = voices.say(text, voice or dice.choice(TRAINING), dice)
        clips.append(voices.augmented(samples, noise) if rough else _with_room(samples, noise))
    return clips


def _with_room(samples: Samples, noise: np.random.Generator) -> Samples:
    """Some silence around it."""
    heard = np.concatenate([np.zeros(RATE // 4, np.float32), samples, np.zeros(RATE // 2, np.float32)])
    hiss = noise.standard_normal(len(heard)).astype(np.float32) * np.float32(3e-4)
    return heard * np.float32(0.5 / max(float(np.abs(samples).max()), 1e-4)) + hiss


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("model", type=Path)
    asked.add_argument("--texts", type=int, default=400)
    asked.add_argument("--right", type=int, nargs="*", default=[1])
    wish = asked.parse_args()
    warnings.simplefilter("ignore")
    said = texts.texts(SEED, wish.texts, test=True)
    sets = {("voices of the training", rough): spoken(said, None, rough=rough) for rough in (False, True)} | {
        (f"held-out voice {HELD_OUT.name}", rough): spoken(said, HELD_OUT, rough=rough)
        for rough in (False, True)
    }
    for right in wish.right:
        engine = NemoEngine(load(str(wish.model), right, "float32", "cpu"), AT_ONCE)
        for (who, rough), clips in sets.items():
            errors = jiwer.wer(said, list(transcripts(engine, clips)))
            how = "noise, level, telephone" if rough else "clean"
            print(f"[70,{right}]  {who}, {how}: {errors:.2%} of {wish.texts} texts' words wrong", flush=True)


if __name__ == "__main__":
    main()
