from __future__ import annotations

import random
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gateway.audio import files
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


# Too little of it to be heard, and then more nothing than anybody would wait for.
@pytest.mark.parametrize(
    ("container", "codec"), [("matroska", "pcm_s16le"), ("mpegts", "mp2"), ("flv", "mp3")]
)
@pytest.mark.parametrize("use", [probe, heard])
def test_a_file_is_not_searched_for_ever(tmp_path, monkeypatch, container, codec, use):
    monkeypatch.setattr(files, "MAX_UNHEARD_BYTES", 3 * 2**20)
    path = saved(tmp_path, encode(container, codec.replace("mp3", "libmp3lame"), 44_100, sweep(44_100))[:900])
    with path.open("ab") as file:
        file.truncate(10**9)
    began = time.process_time()
    with suppress(BadAudio):
        use(path, UNSAID)
    with pytest.raises(BadAudio, match="3145728 bytes, or 5 s of work, without audio"):
        heard(path)
    assert time.process_time() - began < 4


def test_nor_is_one_that_is_searched_slowly(tmp_path, monkeypatch):
    """A chunk of WAV is eight bytes at least, and as many zeros are one."""
    monkeypatch.setattr(files, "MAX_UNHEARD_S", 0.2)
    path = saved(tmp_path, wav(sweep(16_000))[:36])
    with path.open("ab") as file:
        file.truncate(50 * 2**20)
    began = time.process_time()
    with pytest.raises(BadAudio, match=r"0\.2 s of work, without audio"):
        probe(path, UNSAID)
    assert time.process_time() - began < 4


def test_time_in_which_nobody_asks_for_more_does_not_count(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(files, "time", SimpleNamespace(thread_time=lambda: now[0]))
    audio = FileAudio(saved(tmp_path, encode("matroska", "pcm_s16le", 16_000, sweep(16_000, 20.0))), UNSAID)
    for _ in audio.pieces():
        now[0] += 60
    assert audio.input_ms == 20_000
    assert now[0] > 600


@pytest.mark.parametrize(
    ("container", "codec", "rate", "options"),
    [("adts", "aac", 16_000, {}), ("mp3", "libmp3lame", 16_000, {"write_xing": "0"})],
)
def test_a_guess_of_the_length_is_not_believed(tmp_path, container, codec, rate, options):
    """Recordings that begin with silence would be refused as many times as long as they are."""
    samples = np.concatenate([np.zeros((rate * 20, 1), np.int16), sweep(rate, 20.0)])
    path = saved(tmp_path, encode(container, codec, rate, samples, **options))
    assert probe(path, UNSAID).duration_ms is None
    assert 40_000 <= heard(path)[1] < 40_200


def test_what_the_notes_of_an_mp3_say_is_believed_behind_tags_too(tmp_path):
    data = encode("mp3", "libmp3lame", 16_000, sweep(16_000, 3.0), id3v2_version="0")
    tag = b"ID3\x03\x00\x00\x00\x04\x00\x00" + bytes(65_536)
    for start in (b"", tag, tag * 2):
        duration = probe(saved(tmp_path, start + data), UNSAID).duration_ms
        assert duration is not None
        assert abs(duration - 3_000) < 80


def test_a_few_bytes_that_claim_to_be_hours_say_so(tmp_path):
    data = bytearray(encode("flac", "flac", 16_000, sweep(16_000)))
    data[21:26] = bytes([data[21] & 0xF0 | 0x0F]) + b"\xff" * 4  # the number of samples, 36 bits of it
    duration = probe(saved(tmp_path, bytes(data)), UNSAID).duration_ms
    assert duration is not None
    assert duration > 24 * 3_600_000
    assert abs(heard(tmp_path / "audio")[1] - 600) <= 1  # and are what they are


@pytest.mark.parametrize(
    "kind",
    [
        ("ipod", "aac", 44_100), ("flac", "flac", 16_000), ("ogg", "libopus", 48_000), ("avi", "mp2", 16_000),
        ("wav", "pcm_s16le", 16_000), ("wav", "adpcm_ms", 16_000), ("webm", "libopus", 48_000),
        ("matroska", "flac", 16_000), ("mp3", "libmp3lame", 24_000), ("adts", "aac", 16_000),
        ("mpegts", "aac", 16_000), ("mpeg", "mp2", 48_000), ("flv", "libmp3lame", 44_100),
        ("aiff", "pcm_s16be", 16_000), ("caf", "alac", 16_000), ("au", "pcm_mulaw", 8_000),
        ("w64", "pcm_s16le", 16_000), ("wv", "wavpack", 16_000),
        ("asf", "libmp3lame", 44_100), ("amr", "libopencore_amrnb", 8_000),
    ],
    ids=lambda kind: " in ".join(reversed(kind[:2])),
)  # fmt: skip
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
