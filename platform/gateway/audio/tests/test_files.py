from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest

from gateway.audio.base import MAX_PIECE_BYTES, AudioFormat
from gateway.audio.files import FileAudio, FileInfo, probe
from gateway.audio.tests.sounds import damaged, decoded, encode, likeness, sweep
from gateway.audio.tests.test_wav import wav
from gateway.errors import BadAudio

UNSAID = AudioFormat(None)


def saved(folder: Path, data: bytes) -> Path:
    path = folder / "audio"
    path.write_bytes(data)
    return path


def heard(path: Path, form: AudioFormat = UNSAID) -> tuple[list[np.ndarray], int]:
    audio = FileAudio(path, form)
    pieces = list(audio.pieces())
    assert all(len(lane) <= MAX_PIECE_BYTES for piece in pieces for lane in piece)
    lanes = [b"".join(piece[lane] for piece in pieces) for lane in range(form.lanes)]
    return [np.frombuffer(lane, "<i2") for lane in lanes], audio.input_ms


@pytest.mark.parametrize(
    ("container", "codec", "rate", "info"),
    [
        ("wav", "pcm_s16le", 16_000, FileInfo(1_000, 1, 16_000, "pcm_s16le", "wav")),
        ("flac", "flac", 16_000, FileInfo(1_000, 1, 16_000, "flac", "flac")),
        ("ipod", "alac", 16_000, FileInfo(1_000, 1, 16_000, "alac", "mov")),
        ("wv", "wavpack", 16_000, FileInfo(1_000, 1, 16_000, "wavpack", "wv")),
        ("w64", "pcm_s16le", 16_000, FileInfo(1_000, 1, 16_000, "pcm_s16le", "w64")),
        ("mp3", "libmp3lame", 16_000, FileInfo(1_000, 1, 16_000, "mp3float", "mp3")),
        ("ogg", "libopus", 48_000, FileInfo(1_000, 1, 48_000, "opus", "ogg")),
    ],
)
def test_a_file_says_what_it_is_and_gives_all_of_it(tmp_path, container, codec, rate, info):
    path = saved(tmp_path, encode(container, codec, rate, sweep(rate, 1.0)))
    found = probe(path, UNSAID)
    assert found.duration_ms is not None
    assert abs(found.duration_ms - 1_000) <= 75
    assert (found.channels, found.sample_rate, found.codec, found.container) == (
        info.channels, info.sample_rate, info.codec, info.container,
    )  # fmt: skip
    (lane,), milliseconds = heard(path)
    assert likeness(lane, sweep(16_000, 1.0)[:, 0]) > (
        0.99 if codec in ("libopus", "libmp3lame", "wavpack") else 0.999999
    )
    assert abs(milliseconds - 1_000) <= 75


def test_an_mp4_with_its_index_at_the_end(tmp_path):
    data = encode("ipod", "aac", 44_100, sweep(44_100, 8.0))
    assert data.find(b"moov") > data.find(b"mdat")
    (lane,), milliseconds = heard(saved(tmp_path, data))
    assert likeness(lane, sweep(16_000, 8.0)[:, 0]) > 0.95
    assert 8_000 <= milliseconds < 8_050


def test_raw_samples_are_what_they_are_said_to_be(tmp_path):
    samples = sweep(8_000, 1.0, 2)
    path = saved(tmp_path, samples.tobytes())
    form = AudioFormat("linear16", 8_000, 2, 2)
    assert probe(path, form) == FileInfo(1_000, 2, 8_000, "linear16", "raw")
    lanes, milliseconds = heard(path, form)
    expected, _ = decoded(form, [samples.tobytes()])
    assert all(map(np.array_equal, lanes, expected))
    assert milliseconds == 1_000


@pytest.mark.parametrize("encoding", ["linear16", "mulaw", None])
def test_a_wav_is_read_as_the_wav_it_is(tmp_path, encoding):
    for size in (None, 0, 0xFFFF_FFFF):
        path = saved(tmp_path, wav(sweep(16_000, 1.0), size=size))
        (lane,), milliseconds = heard(path, AudioFormat(encoding, 8_000))
        assert np.array_equal(lane, sweep(16_000, 1.0)[:, 0])
        assert milliseconds == 1_000


def test_a_tag_in_front_is_no_matter(tmp_path):
    data = encode("mp3", "libmp3lame", 16_000, sweep(16_000), id3v2_version="0")
    tag = b"ID3\x03\x00\x00\x00\x04\x00\x00" + bytes(65_536)
    assert probe(saved(tmp_path, tag + data), UNSAID).container == "mp3"
    assert abs(heard(saved(tmp_path, tag + data))[1] - 600) < 80


def test_tags_without_end_are_not_looked_through(tmp_path):
    """Ten bytes each, and as much work as a large one."""
    path = saved(tmp_path, (b"ID3\x04" + bytes(6)) * 1_000_000)
    began = time.process_time()
    with pytest.raises(BadAudio, match="known here"):
        probe(path, UNSAID)
    assert time.process_time() - began < 2


def test_stereo_is_mixed_or_kept_apart(tmp_path):
    path = saved(tmp_path, encode("flac", "flac", 16_000, sweep(16_000, 0.5, 2)))
    assert probe(path, UNSAID).channels == 2
    lanes, _ = heard(path, AudioFormat(None, 16_000, 2, 2))
    assert all(np.array_equal(lanes[c], sweep(16_000, 0.5, 2)[:, c]) for c in (0, 1))
    (mixed,), _ = heard(path)
    assert np.allclose(mixed, sweep(16_000, 0.5, 2).mean(axis=1), atol=1)
    with pytest.raises(BadAudio, match="has 2 channels where channels=3"):
        heard(path, AudioFormat(None, 16_000, 3, 3))


@pytest.mark.parametrize("data", [b"", b"hello", b"#EXTM3U\n/etc/passwd\n", bytes(5_000), b"OggS", b"fLaC"])
@pytest.mark.parametrize("use", [probe, heard])
def test_what_is_no_audio_is_refused(tmp_path, data, use):
    with pytest.raises(BadAudio):
        use(saved(tmp_path, data), UNSAID)


def test_hours_in_a_few_bytes_come_piece_by_piece(tmp_path):
    path = saved(tmp_path, encode("flac", "flac", 16_000, np.zeros((16_000 * 600, 1), np.int16)))
    audio = FileAudio(path, UNSAID)
    pieces = audio.pieces()
    next(pieces)
    assert audio.input_ms < 1_000
    pieces.close()


@pytest.mark.parametrize(
    "kind",
    [("ipod", "aac", 44_100), ("flac", "flac", 16_000), ("ogg", "libopus", 48_000), ("avi", "mp2", 16_000)],
)
def test_damaged_files_are_samples_or_a_refusal(tmp_path, kind, capfd):
    chance = random.Random(str(kind))
    whole = encode(*kind, sweep(kind[2], 0.5))
    refused = 0
    for _ in range(150):
        path = saved(tmp_path, damaged(whole, chance))
        try:
            probe(path, UNSAID)
            heard(path)
        except BadAudio:
            refused += 1
    assert refused < 150
    assert capfd.readouterr().err == ""
