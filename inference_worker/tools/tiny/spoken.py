"""Writes the recording that tests and benchmarks give to the tiny model, and beside it a .json of what is
said where: `python -m inference_worker.tools.tiny.spoken OUT.flac`. No text of it was trained on."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import av
import numpy as np

from inference_worker.tools.tiny import texts, voices
from inference_worker.tools.tiny.voices import HELD_OUT, RATE, TRAINING, Samples

SEED, CLIPS, OF_HELD_OUT = 5, 12, 4
PAUSE_S, NOISE, PEAK = 1.0, 3e-4, 0.5


def main(out: Path) -> None:
    dice = random.Random(SEED)
    noise = np.random.default_rng(SEED)
    parts: list[Samples] = [_silence(noise)]
    marks: list[dict[str, object]] = []
    said = texts.texts(SEED, CLIPS + OF_HELD_OUT, test=True)
    for number, text in enumerate(said):
        voice = dice.choice(TRAINING) if number < CLIPS else HELD_OUT
        samples = voices.say(text, voice, dice)
        samples = samples * (PEAK / float(np.abs(samples).max()))
        marks.append(
            {"text": text, "voice": voice.name, "start": sum(map(len, parts)), "samples": len(samples)}
        )
        parts += [samples, _silence(noise)]
    _write(out, np.concatenate(parts))
    out.with_suffix(".json").write_text(json.dumps(marks, indent=1) + "\n")


def _silence(noise: np.random.Generator) -> Samples:
    """Of a quiet room: digital silence is something no microphone sends."""
    return (noise.standard_normal(int(PAUSE_S * RATE)) * NOISE).astype(np.float32)


def _write(path: Path, samples: Samples) -> None:
    with av.open(str(path), "w", format="flac") as file:
        stream = file.add_stream("flac", rate=RATE, layout="mono", format="s16")
        pcm = np.clip(samples * 32_768, -32_768, 32_767).astype("<i2")
        for begin in range(0, len(pcm), RATE):
            frame = av.AudioFrame.from_ndarray(pcm[None, begin : begin + RATE], format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, begin
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
