"""WAV files: integer PCM of 8, 16, 24 and 32 bits and float of 32 and 64, any number of channels.

Python's own `wave` reads no float, insists on seeking and trusts the header's length; recorders that write
to a pipe cannot know that length and put 0 or the largest number there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from stenogate.errors import InputError

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
COMPRESSED = {2: "ADPCM", 6: "A-law", 7: "mu-law", 0x11: "IMA ADPCM", 0x31: "GSM", 0x50: "MPEG", 0x55: "MP3"}
OTHER_FILES = {
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"ID3\x02": "MP3",
    b"ID3\x03": "MP3",
    b"ID3\x04": "MP3",
    b"FORM": "AIFF",
    b"RIFX": "big-endian RIFX",
}
CONVERT = "Convert it first: ffmpeg -i IN -ac 1 -ar 16000 -c:a pcm_s16le OUT.wav"
# A recorder that writes to a pipe announces a length near one of these; no one means it.
LENGTH_UNKNOWN_FROM = 0x7F00_0000
MAX_CHANNELS = 64


@dataclass(frozen=True)
class Header:
    """What the bytes after the header are."""

    is_float: bool
    sample_bytes: int
    channels: int
    rate: int
    data_bytes: int | None  # None: to the end of the file

    @property
    def frame_bytes(self) -> int:
        return self.sample_bytes * self.channels


def read_header(file: BinaryIO) -> Header:
    """Read up to the first byte of audio, or raise `InputError`."""
    start = _read(file, 12)
    if len(start) < 12 or start[:4] not in (b"RIFF", b"RF64") or start[8:] != b"WAVE":
        kind = OTHER_FILES.get(start[:4])
        what = f"it is {kind}" if kind else "it is empty" if not start else "it does not start like one"
        raise InputError(f"this is not a WAV file: {what}. {CONVERT}")
    riff_bytes = struct.unpack("<I", start[4:8])[0]
    long_data_bytes: int | None = None
    layout: tuple[bool, int, int, int] | None = None
    while True:
        chunk = _read(file, 8)
        if len(chunk) < 8:
            raise InputError("the WAV file ends before its audio begins; it was cut off or never finished")
        name, size = chunk[:4], struct.unpack("<I", chunk[4:])[0]
        if name == b"data":
            if layout is None:
                raise InputError(
                    "the WAV file does not say what its audio is (no 'fmt ' chunk before 'data')"
                )
            return Header(*layout, data_bytes=_data_bytes(size, riff_bytes, long_data_bytes))
        if name == b"fmt ":
            layout = _layout(_body(file, size))
        elif name == b"ds64":
            body = _body(file, size)
            long_data_bytes = struct.unpack_from("<Q", body, 8)[0] if len(body) >= 16 else None
        else:
            _skip(file, size + size % 2)


def frames(file: BinaryIO, header: Header, per_block: int) -> Iterator[NDArray[np.float32]]:
    """The audio as mono blocks of `per_block` samples in -1..1, the last one shorter.

    A file that ends earlier than its header says raises `InputError` after its last block, so that what is
    there can be used.
    """
    left = header.data_bytes
    read = 0
    while left is None or left > 0:
        wanted = per_block * header.frame_bytes
        block = _read(file, wanted if left is None else min(wanted, left))
        whole = len(block) - len(block) % header.frame_bytes
        read += len(block)
        if whole:
            yield _mono(block[:whole], header)
        if left is not None:
            left -= len(block)
        if len(block) < wanted:
            break
    if left:
        expected = (read + left) / header.frame_bytes / header.rate
        raise InputError(
            f"the WAV file is truncated: its header promises {expected:.1f} s of audio, "
            f"{read / header.frame_bytes / header.rate:.1f} s are there"
        )


def linear16(samples: NDArray[np.float32]) -> bytes:
    """Signed 16-bit little-endian; 16-bit files come through unchanged."""
    # Clipped before it is scaled: float files hold what would be more than any float then.
    scaled = np.rint(np.clip(np.nan_to_num(samples, nan=0.0), -1.0, 1.0) * 32768.0)
    pcm: NDArray[np.int16] = np.minimum(scaled, 32767).astype("<i2")
    return pcm.tobytes()


def _layout(body: bytes) -> tuple[bool, int, int, int]:
    if len(body) < 16:
        raise InputError("the WAV file's 'fmt ' chunk is too short to say what its audio is")
    tag, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", body)
    if tag == EXTENSIBLE and len(body) >= 26:
        tag = struct.unpack_from("<H", body, 24)[0]
    if tag not in (PCM, FLOAT):
        name = COMPRESSED.get(tag, f"format {tag:#06x}")
        raise InputError(f"the WAV file is compressed ({name}). {CONVERT}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise InputError(f"the WAV file says it has {channels} channels; 1 to {MAX_CHANNELS} can be read")
    if not rate:
        raise InputError("the WAV file says it has 0 samples a second, so nobody knows how long it is")
    # Odd depths (12 or 20 bits) sit in the high bits of whole bytes, so the bytes are what counts.
    sample_bytes = (bits + 7) // 8
    if (
        sample_bytes not in ((4, 8) if tag == FLOAT else (1, 2, 3, 4))
        or frame_bytes != sample_bytes * channels
    ):
        kind = "float" if tag == FLOAT else "integer"
        raise InputError(f"the WAV file has {bits}-bit {kind} samples, which cannot be read. {CONVERT}")
    return tag == FLOAT, sample_bytes, channels, rate


def _data_bytes(size: int, riff_bytes: int, long_data_bytes: int | None) -> int | None:
    if long_data_bytes is not None and size == 0xFFFF_FFFF:
        return long_data_bytes
    never_finished = size == 0 and (riff_bytes == 0 or riff_bytes >= LENGTH_UNKNOWN_FROM)
    return None if never_finished or size >= LENGTH_UNKNOWN_FROM else size


def _body(file: BinaryIO, size: int) -> bytes:
    body = _read(file, min(size, 4096))
    _skip(file, size + size % 2 - len(body))
    return body


def _read(file: BinaryIO, count: int) -> bytes:
    """`count` bytes unless the file ends: a pipe without a buffer gives what it has."""
    parts: list[bytes] = []
    while count > 0 and (part := file.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _skip(file: BinaryIO, count: int) -> None:
    while count > 0:
        skipped = len(_read(file, min(count, 65536)))
        if not skipped:
            return
        count -= skipped


def _mono(block: bytes, header: Header) -> NDArray[np.float32]:
    width = header.sample_bytes
    if header.is_float:
        with np.errstate(all="ignore"):
            samples = np.frombuffer(block, f"<f{width}").astype(np.float32)
    elif width == 1:
        samples = (np.frombuffer(block, np.uint8).astype(np.float32) - 128.0) / 128.0
    elif width == 2:
        samples = np.frombuffer(block, "<i2").astype(np.float32) / 32768.0
    else:
        # Into the high bytes of 32 bits: 24-bit samples have no type of their own.
        wide = np.zeros((len(block) // width, 4), np.uint8)
        wide[:, 4 - width :] = np.frombuffer(block, np.uint8).reshape(-1, width)
        samples = (wide.view("<i4")[:, 0] / 2147483648.0).astype(np.float32)
    if header.channels == 1:
        return samples
    with np.errstate(all="ignore"):
        mixed: NDArray[np.float32] = samples.reshape(-1, header.channels).mean(axis=1, dtype=np.float32)
    return mixed
