"""What the streams of the experiments say: real speech that came with a wheel, or a WAV file of yours."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ops.chaos.errors import ChaosError


@dataclass(frozen=True)
class Recording:
    pcm: bytes  # 16-bit, mono
    rate: int

    @property
    def ms(self) -> int:
        return len(self.pcm) // 2 * 1000 // self.rate

    def piece(self, from_ms: int, to_ms: int) -> bytes:
        return self.pcm[from_ms * self.rate // 1000 * 2 : to_ms * self.rate // 1000 * 2]


def read(path: Path | None, seconds: float) -> Recording:
    """The first `seconds` of it, in whole milliseconds."""
    if path is None:
        spec = find_spec("moonshine_voice")
        if spec is None or spec.origin is None:
            raise ChaosError("There is no speech here. Give some: audio=FILE.wav")
        path = Path(spec.origin).parent / "assets" / "two_cities.wav"
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth()) != (1, 2) or file.getframerate() % 1000:
                raise ChaosError(f"{path} is not 16-bit mono at a rate of whole kilohertz.")
            rate = file.getframerate()
            pcm = file.readframes(int(seconds * 1000) * rate // 1000)
    except (OSError, EOFError, wave.Error) as error:
        raise ChaosError(f"{path} cannot be read: {error}") from None
    return Recording(pcm[: len(pcm) // 2 * 1000 // rate * rate // 1000 * 2], rate)
