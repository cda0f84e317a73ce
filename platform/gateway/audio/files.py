"""Recorded audio: a whole file on disk, which may be sought in.

Blocking, so meant for a thread: `async for pcm in in_thread(audio.pieces())`.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from gateway.audio import libav, raw
from gateway.audio.base import AudioFormat, Pcm
from gateway.audio.encodings import ENCODINGS, Kind
from gateway.audio.recognise import (
    HEAD_BYTES,
    MAX_TAGS,
    NOT_KNOWN,
    STRONG,
    Found,
    Skip,
    is_wav,
    recognise,
)
from gateway.audio.shaper import Shaper
from gateway.errors import BadAudio

# Read without any audio in it, and worked on: pictures between two samples are as many as that. What goes on
# like this would keep a thread busy for as long as the file lasts: for minutes with a gigabyte of zeros.
MAX_UNHEARD_BYTES = 64 * 2**20
MAX_UNHEARD_S = 5.0
_READ_BYTES = 64_000
# Formats with no place for their length. libav guesses it by the first frames, and is wrong by a factor where
# those are silent; only the notes of an MP3's encoder are to be trusted.
_GUESSED = frozenset({"aac", "mp3"})
_NOTES = (b"Xing", b"Info", b"VBRI")


@dataclass(frozen=True)
class FileInfo:
    duration_ms: int | None  # as the file says itself; None where it does not
    channels: int
    sample_rate: int
    codec: str
    container: str


def probe(path: Path, form: AudioFormat) -> FileInfo:
    """What is in the file, without decoding it. Raises `BadAudio` where `FileAudio` would."""
    with path.open("rb") as file:
        demuxer = _demuxer(file, form)
        if demuxer is None:
            encoding = form.encoding or ""
            frames = path.stat().st_size // (raw.SAMPLE_BYTES[encoding] * form.channels)
            milliseconds = frames * 1000 // form.sample_rate
            return FileInfo(milliseconds, form.channels, form.sample_rate, encoding, "raw")
        says_length = demuxer not in _GUESSED or _has_notes(file)
        with _opened(file, demuxer, Shaper(1)) as (_, container, stream):
            duration = container.duration if says_length else None
            return FileInfo(
                duration_ms=None if duration is None or duration < 0 else duration * 1000 // av.time_base,
                channels=stream.codec_context.channels,
                sample_rate=stream.codec_context.sample_rate,
                codec=stream.codec_context.codec.name,
                container=demuxer,
            )


class FileAudio:
    """The samples of a file, piece by piece; `input_ms` counts along."""

    def __init__(self, path: Path, form: AudioFormat) -> None:
        self._path, self._form = path, form
        self._shaper = Shaper(form.lanes)
        self._raw: raw.Raw | None = None

    @property
    def input_ms(self) -> int:
        return self._raw.input_ms if self._raw else self._shaper.input_ms

    def pieces(self) -> Iterator[Pcm]:
        """Once. The file is closed when the iterator is exhausted, closed or dropped."""
        form = self._form
        with self._path.open("rb") as file:
            demuxer = _demuxer(file, form)
            if demuxer is None:
                self._raw = raw.Raw(form.encoding or "", form.sample_rate, form.channels, form.lanes)
                with closing(self._raw):
                    while data := file.read(_READ_BYTES):
                        yield from self._raw.feed(data)
                    yield from self._raw.finish()
                return
            with _opened(file, demuxer, self._shaper) as (source, container, stream):
                for samples, rate in libav.decode(container, stream):
                    yield from self._shaper.take(samples, rate)
                    source.heard()
            yield from self._shaper.finish()


@contextmanager
def _opened(
    file: BufferedReader, demuxer: str, shaper: Shaper
) -> Iterator[tuple[_Source, InputContainer, AudioStream]]:
    source = _Source(file)
    try:
        with libav.open_input(source, demuxer, {}) as container:
            yield source, container, libav.first_audio(container)
    except (av.FFmpegError, ValueError) as error:
        source.must_be_heard()
        raise BadAudio(libav.hint(demuxer, shaper.input_ms)) from error
    source.must_be_heard()


class _Source:
    """What libav may do with the file; not its name, and without exceptions, which it may not pass on."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.tell = file.tell
        self._enough = False
        self.heard()

    def heard(self) -> None:
        """There was audio, and all of it was taken. Asked for by the thread that goes on reading."""
        self._unheard, self._since = 0, time.thread_time()

    def read(self, size: int) -> bytes:
        late = time.thread_time() - self._since > MAX_UNHEARD_S
        self._enough = self._enough or late or self._unheard > MAX_UNHEARD_BYTES
        if self._enough:
            return b""
        data = self._file.read(size)
        self._unheard += len(data)
        return data

    def must_be_heard(self) -> None:
        if self._enough:
            raise BadAudio(
                f"It has {MAX_UNHEARD_BYTES} bytes, or {MAX_UNHEARD_S:g} s of work, without audio."
            )

    def seek(self, offset: int, whence: int) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return -errno.EINVAL


def _demuxer(file: BufferedReader, form: AudioFormat) -> str | None:
    """libav's name for what the file is; None for raw samples. The file is at its start again."""
    said = ENCODINGS[form.encoding] if form.encoding is not None else None
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if said is not None and said.kind is Kind.RAW:
        return "wav" if is_wav(head) else None
    for _ in range(MAX_TAGS):
        if not isinstance(found := recognise(head), Skip):
            break
        file.seek(found.size, 1)
        head = file.read(HEAD_BYTES)
        if not isinstance(recognise(head), Found | Skip):
            file.seek(0)
            return "mp3"
        file.seek(-len(head), 1)
    file.seek(0)
    if isinstance(found, Found) and (said is None or not said.bare or found.demuxer in STRONG):
        return found.demuxer
    if said is not None and said.demuxer:
        return said.demuxer
    raise BadAudio(NOT_KNOWN)


def _has_notes(file: BufferedReader) -> bool:
    """Whether an MP3's first frame is one with notes about the file. The file is at its start again."""
    at, head = 0, file.read(HEAD_BYTES)
    for _ in range(MAX_TAGS):
        if not isinstance(found := recognise(head), Skip):
            break
        at += found.size
        file.seek(at)
        head = file.read(HEAD_BYTES)
    file.seek(0)
    return any(note in head for note in _NOTES)
