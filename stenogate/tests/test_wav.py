from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenogate import wav
from stenogate.errors import InputError

TONE = np.sin(np.arange(1600) * 2 * np.pi * 440 / 16000) * 0.5


def make(
    data: bytes,
    *,
    tag: int = 1,
    bits: int = 16,
    channels: int = 1,
    rate: int = 16000,
    size: int | None = None,
) -> bytes:
    width = (bits + 7) // 8 * channels
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * width, width, bits)
    size = len(data) if size is None else size
    return (
        b"RIFF" + struct.pack("<I", min(36 + size, 0xFFFFFFFF)) + b"WAVE"
        b"fmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", size) + data
    )


def read(raw: bytes, per_block: int = 800) -> np.ndarray:
    file = io.BytesIO(raw)
    header = wav.read_header(file)
    return np.concatenate([np.zeros(0, np.float32), *wav.frames(file, header, per_block)])


def encode(samples: np.ndarray, bits: int, tag: int) -> bytes:
    if tag == wav.FLOAT:
        return samples.astype(f"<f{bits // 8}").tobytes()
    if bits == 8:
        return np.rint(samples * 127 + 128).astype(np.uint8).tobytes()
    wide = np.rint(samples * (2 ** (bits - 1) - 1)).astype("<i4")
    return wide.view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes()


@pytest.mark.parametrize(("bits", "tag"), [(8, 1), (16, 1), (24, 1), (32, 1), (32, 3), (64, 3)])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_every_sample_format_gives_the_same_sound(bits: int, tag: int, channels: int) -> None:
    data = encode(np.repeat(TONE, channels), bits, tag)
    heard = read(make(data, tag=tag, bits=bits, channels=channels))
    assert heard.dtype == np.float32
    assert np.abs(heard - TONE).max() < (0.01 if bits == 8 else 0.0001)


def test_16_bit_samples_come_through_unchanged() -> None:
    data = np.arange(-32768, 32768, dtype="<i2").tobytes()
    assert wav.linear16(read(make(data))) == data


def test_channels_are_averaged() -> None:
    data = np.array([[1000, 3000], [-5, 5]], "<i2").tobytes()
    assert wav.linear16(read(make(data, channels=2))) == np.array([2000, 0], "<i2").tobytes()


def test_floats_out_of_range_are_clipped_and_nonsense_is_silent() -> None:
    data = np.array([2.0, -9.0, np.nan, np.inf, 3e38, -3e38], "<f4").tobytes()
    heard = np.frombuffer(wav.linear16(read(make(data, tag=3, bits=32))), "<i2").tolist()
    assert heard == [32767, -32768, 0, 32767, 32767, -32768]


def test_extensible_headers_and_unknown_chunks_are_understood() -> None:
    guid = struct.pack("<H", 1) + b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
    fmt = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 16000, 32000, 2, 16, 22, 16, 4) + guid
    raw = b"RIFF\x00\x00\x00\x00WAVE" + b"LIST\x03\x00\x00\x00abc\x00"
    raw += b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data\x04\x00\x00\x00\x01\x00\x02\x00junk after it"
    assert wav.linear16(read(raw)) == b"\x01\x00\x02\x00"


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFE])
def test_a_length_no_one_means_reads_to_the_end(size: int) -> None:
    assert len(read(make(TONE.astype("<i2").tobytes(), size=size))) == 1600


def test_a_header_that_was_never_finished_reads_to_the_end() -> None:
    raw = make(b"\x01\x00" * 100, size=0)
    assert len(read(raw[:4] + b"\x00\x00\x00\x00" + raw[8:])) == 100


def test_an_empty_recording_is_empty_and_not_an_error() -> None:
    assert len(read(make(b""))) == 0


def test_rf64_takes_its_length_from_ds64() -> None:
    raw = make(b"\x01\x00" * 10, size=0xFFFFFFFF) + b"tail"
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 0, 20, 10, 0)
    assert len(read(b"RF64" + raw[4:12] + ds64 + raw[12:])) == 10


def test_a_truncated_file_gives_what_is_there_and_then_says_so() -> None:
    file = io.BytesIO(make(b"\x01\x00" * 24000 + b"\x01", size=64000))
    blocks = wav.frames(file, wav.read_header(file), 800)
    assert sum(len(next(blocks)) for _ in range(30)) == 24000
    with pytest.raises(InputError, match=r"promises 2\.0 s of audio, 1\.5 s are there"):
        next(blocks)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "it is empty"),
        (b"hello, world!", "does not start like one"),
        (b"fLaC" + bytes(20), "it is FLAC"),
        (b"OggS" + bytes(20), "it is Ogg"),
        (make(b"")[:40], "ends before its audio begins"),
        (make(b"", tag=7), r"compressed \(mu-law\)"),
        (make(b"", tag=0x1234), r"compressed \(format 0x1234\)"),
        (make(b"", channels=0), "0 channels"),
        (make(b"", rate=0), "0 samples a second"),
        (make(b"", bits=64), "64-bit integer samples"),
        (make(b"", bits=16, tag=3), "16-bit float samples"),
        (make(b"")[:12] + b"data\x02\x00\x00\x00ab", "does not say what its audio is"),
        (make(b"")[:12] + b"fmt \x02\x00\x00\x00ab", "too short"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(raw: bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read(raw)


@given(
    st.binary(max_size=300)
    | st.builds(
        lambda head, at, tail: head[:at] + tail,
        st.builds(
            make,
            st.binary(max_size=50),
            tag=st.sampled_from([1, 3]),
            bits=st.sampled_from([8, 16, 24, 32, 64]),
            channels=st.integers(1, 4),
            size=st.none() | st.integers(0, 2**32 - 1),
        ),
        st.integers(0, 90),
        st.binary(max_size=60),
    )
)
def test_arbitrary_bytes_never_raise_anything_else(raw: bytes) -> None:
    try:
        pcm = wav.linear16(read(raw, per_block=7))
    except InputError:
        return
    assert len(pcm) % 2 == 0
