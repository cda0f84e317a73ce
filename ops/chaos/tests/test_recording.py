from __future__ import annotations

import wave
from pathlib import Path

import pytest

from ops.chaos import recording
from ops.chaos.errors import ChaosError


def written(path: Path, *, rate: int = 16_000, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * channels * rate * 2))
    return path


def test_the_speech_of_the_wheel_is_there() -> None:
    found = recording.read(None, 1.5)
    assert found.ms == 1500
    assert len(found.piece(0, 100)) == found.rate // 10 * 2
    assert b"".join(found.piece(at, at + 50) for at in range(0, 1500, 50)) == found.pcm


def test_a_file_of_yours(tmp_path: Path) -> None:
    assert recording.read(written(tmp_path / "a.wav", rate=8000), 9).ms == 2000


@pytest.mark.parametrize("what", [{"channels": 2}, {"rate": 22_050}])
def test_what_it_cannot_use_is_refused_with_its_name(tmp_path: Path, what: dict[str, int]) -> None:
    with pytest.raises(ChaosError, match=r"a\.wav is not 16-bit mono"):
        recording.read(written(tmp_path / "a.wav", **what), 1)


def test_what_cannot_be_read_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "b.wav").write_bytes(b"not audio")
    for name in ("b.wav", "none.wav"):
        with pytest.raises(ChaosError, match=f"{name} cannot be read"):
            recording.read(tmp_path / name, 1)
