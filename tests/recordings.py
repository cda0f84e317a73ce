"""Recordings of real people that come with the `moonshine-voice` wheel, and the public texts they read."""

from __future__ import annotations

import re
import wave
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import jiwer
import numpy as np
import soxr
from numpy.typing import NDArray

TWO_CITIES = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of "
    "foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of "
    "light, it was the season of darkness, it was the spring of hope, it was the winter of despair, we "
    "had everything before us, we had nothing before us, we were all going direct to heaven, we were "
    "all going direct the other way. In short, the period was so far like the present period that some "
    "of its noisiest authorities insisted on its being received, for good or for evil, in the "
    "superlative degree of comparison only."
)
BECKETT = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
TEXTS = {"two_cities.wav": TWO_CITIES, "beckett.wav": BECKETT}


def path(name: str) -> Path:
    spec = find_spec("moonshine_voice")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "assets" / name


def pcm(name: str) -> tuple[bytes, int]:
    """Signed 16-bit mono samples and their rate, as they are in the file."""
    with wave.open(str(path(name)), "rb") as file:
        assert file.getnchannels() == 1
        assert file.getsampwidth() == 2
        return file.readframes(file.getnframes()), file.getframerate()


@cache
def samples(name: str, rate: int = 16_000) -> NDArray[np.float32]:
    """To be read: it is everybody's."""
    data, recorded_at = pcm(name)
    heard = np.frombuffer(data, "<i2").astype(np.float32) / 32768
    resampled = np.asarray(soxr.resample(heard, recorded_at, rate), np.float32)
    resampled.flags.writeable = False
    return resampled


def word_error_rate(reference: str, heard: str) -> float:
    """Of the words alone: neither case nor punctuation counts."""
    return float(jiwer.wer(_words(reference), _words(heard)))


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))
