"""Synthesised clips in one file: written once by all processors, then read at random."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from inference_worker.tools.tiny import texts, voices
from inference_worker.tools.tiny.voices import Samples, Voice


@dataclass(frozen=True)
class Clip:
    text: str
    voice: str
    start: int
    samples: int


class Clips:
    def __init__(self, folder: Path) -> None:
        self.all = [Clip(**one) for one in json.loads((folder / "clips.json").read_text())]
        self._pcm = np.memmap(folder / "clips.s16", dtype="<i2", mode="r")

    def samples(self, clip: Clip) -> Samples:
        return self._pcm[clip.start : clip.start + clip.samples].astype(np.float32) / np.float32(32_768)


def synthesise(
    folder: Path, seed: int, count: int, *, test: bool = False, voice: Voice | None = None
) -> Iterator[int]:
    """Yields how many there are, as it goes."""
    folder.mkdir(parents=True, exist_ok=True)
    todo = [(seed + i, one, voice) for i, one in enumerate(texts.texts(seed, count, test=test))]
    clips: list[dict[str, object]] = []
    position = 0
    with (folder / "clips.s16").open("wb") as file, Pool() as pool:
        for (_, text, _), (name, pcm) in zip(todo, pool.imap(_one, todo, chunksize=32), strict=True):
            file.write(pcm)
            samples = len(pcm) // 2
            clips.append({"text": text, "voice": name, "start": position, "samples": samples})
            position += samples
            yield len(clips)
    (folder / "clips.json").write_text(json.dumps(clips))


def _one(what: tuple[int, str, Voice | None]) -> tuple[str, bytes]:
    seed, text, voice = what
    dice = random.Random(seed)
    voice = voice or voices.choose(dice)
    samples = voices.say(text, voice, dice)
    return voice.name, (np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes()
