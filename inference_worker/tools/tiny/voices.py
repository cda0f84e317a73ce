"""Speech from Debian's `espeak-ng` and `flite`, in many voices, and what rooms and telephones do to it."""

from __future__ import annotations

import io
import random
import subprocess
import wave
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

RATE = 16_000
Samples = NDArray[np.float32]

# Of en-gb espeak-ng 1.51 has one speaker, whichever is asked for, who comes more often than the others.
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-us-nyc")
SPEAKERS = ("", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+f1", "+f2", "+f3", "+f4", "+f5")
FLITE = ("kal16", "awb", "rms", "slt")


@dataclass(frozen=True)
class Voice:
    engine: str
    name: str


# Never heard in training: neither the speaker nor, with any speaker but its own, the accent.
HELD_OUT = Voice("espeak-ng", "en+Andy")
TRAINING = tuple(Voice("espeak-ng", accent + speaker) for accent in ACCENTS for speaker in SPEAKERS) + tuple(
    Voice("flite", name) for name in FLITE
)


def choose(dice: random.Random) -> Voice:
    """Every third time flite: its voices are few, and of another make."""
    engine = "flite" if dice.random() < 0.33 else "espeak-ng"
    return dice.choice([voice for voice in TRAINING if voice.engine == engine])


def say(text: str, voice: Voice, dice: random.Random) -> Samples:
    """Somewhat faster or slower, higher or lower each time."""
    if voice.engine == "flite":
        stretch = f"{dice.uniform(0.85, 1.25):.2f}"
        return _run(
            [
                "flite",
                "-voice",
                voice.name,
                "--setf",
                f"duration_stretch={stretch}",
                "-t",
                text,
                "-o",
                "/dev/stdout",
            ]
        )
    speed, pitch = str(dice.randint(120, 190)), str(dice.randint(25, 75))
    return _run(["espeak-ng", "-v", voice.name, "-s", speed, "-p", pitch, "--stdout", text])


def _run(command: Sequence[str]) -> Samples:
    done = subprocess.run(command, capture_output=True, check=True, timeout=30)  # noqa: S603
    # Both write a header for a stream, whose length says nothing.
    with wave.open(io.BytesIO(done.stdout)) as file:
        rate = file.getframerate()
        header = done.stdout.index(b"data") + 8
    pcm = done.stdout[header : header + (len(done.stdout) - header) // 2 * 2]
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32_768)
    return samples if rate == RATE else np.asarray(soxr.resample(samples, rate, RATE), np.float32)


def augmented(samples: Samples, dice: np.random.Generator, strength: float = 1.0) -> Samples:
    """With silence around it, at some level, with some noise, sometimes as through a telephone. `strength` is
    from 0, hardly, to 1."""
    before, after = (int(RATE * s) for s in dice.uniform(0.05, 0.6, 2))
    loud = np.concatenate([np.zeros(before, np.float32), samples, np.zeros(after, np.float32)])
    if dice.random() < 0.15 * strength:
        loud = soxr.resample(soxr.resample(loud, RATE, 8_000), 8_000, RATE).astype(np.float32)
    loud *= 10 ** (dice.uniform(-8 - 14 * strength, -7 + 4 * strength) / 20) / max(
        float(np.abs(loud).max()), 1e-4
    )
    if dice.random() < 0.8 * strength:
        noise = dice.standard_normal(len(loud)).astype(np.float32)
        if dice.random() < 0.5:  # less of the high tones
            noise = np.convolve(noise, np.full(8, 1 / 8, np.float32), "same").astype(np.float32)
        power = float(np.mean(loud**2)) or 1e-8
        noise *= np.sqrt(
            power / (10 ** (dice.uniform(40 - 32 * strength, 40) / 10)) / float(np.mean(noise**2))
        )
        loud += noise
    return np.asarray(np.clip(loud, -1, 1), np.float32)
