"""Which decoder is for what."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.audio.base import AudioFormat, Decoder, Pcm
from gateway.audio.container import Container
from gateway.audio.encodings import ENCODINGS, Kind
from gateway.audio.flac import Flac
from gateway.audio.mp3 import Mp3
from gateway.audio.opus import OpusPackets
from gateway.audio.raw import Raw
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
from gateway.audio.wav import Wav
from gateway.errors import BadAudio

_RIFF_BYTES = 12


def decoder(form: AudioFormat) -> Decoder:
    """The decoder for a format that `gateway.parameters` has allowed."""
    return Recognised(form)


class Recognised:
    """Finds out by the first bytes what is there, and hands on to the decoder for that.

    What the bytes say goes before what the client says, where they cannot be mistaken: a WAV that was called
    linear16 is read as the WAV it is, by its own header.
    """

    def __init__(self, form: AudioFormat) -> None:
        self._form = form
        self._said = ENCODINGS[form.encoding] if form.encoding is not None else None
        self._bare = self._said is not None and self._said.bare
        self._inner: Decoder | None = None
        self._head = b""
        self._skip = 0  # of a tag
        self._tags = 0
        self._closed = False

    @property
    def input_ms(self) -> int:
        return self._inner.input_ms if self._inner else 0

    def quick(self, size: int) -> bool:
        return self._inner is not None and self._inner.quick(size)

    def feed(self, data: bytes) -> Iterator[Pcm]:
        return self._inner.feed(data) if self._inner is not None else self._begin(data, last=False)

    def finish(self) -> Iterator[Pcm]:
        yield from self._begin(b"", last=True) if self._inner is None else ()
        yield from self._inner.finish() if self._inner is not None else ()

    def close(self) -> None:
        self._closed = True
        self._head = b""
        if self._inner is not None:
            self._inner.close()

    def _begin(self, data: bytes, *, last: bool) -> Iterator[Pcm]:
        self._head += data
        while self._inner is None:
            if self._skip:
                skipped = min(self._skip, len(self._head))
                self._head, self._skip = self._head[skipped:], self._skip - skipped
            if self._skip or not self._head or not self._choose(last):
                return
        if self._closed:
            # Meanwhile, by another thread, which found nothing yet to close.
            self._inner.close()
            return
        head, self._head = self._head, b""
        yield from self._inner.feed(head)

    def _choose(self, last: bool) -> bool:
        """Whether the head was enough: then there is a decoder, or something to skip."""
        head = self._head
        enough = last or len(head) >= HEAD_BYTES
        if self._said is not None and self._said.kind is Kind.RAW:
            if is_wav(head):
                self._inner = Wav(self._form.lanes)
            elif last or len(head) >= _RIFF_BYTES or not b"RIFF".startswith(head[:4]):
                self._inner = self._expected()
        elif isinstance(found := recognise(head), Skip) and self._tags < MAX_TAGS:
            self._skip, self._tags = found.size, self._tags + 1
            return True
        elif isinstance(found, Found) and (not self._bare or found.demuxer in STRONG):
            self._inner = self._for(found.demuxer)
        elif self._said is not None and (enough or self._said.kind is Kind.PACKETS):
            self._inner = self._expected()
        elif self._tags and enough:
            self._inner = self._for("mp3")  # only that has such tags and padding after them
        elif enough:
            raise BadAudio(NOT_KNOWN)
        return self._inner is not None

    def _expected(self) -> Decoder:
        form, said = self._form, self._said
        if said is None:
            raise BadAudio(NOT_KNOWN)
        if said.kind is Kind.RAW:
            return Raw(said.name, form.sample_rate, form.channels, form.lanes)
        if said.kind is Kind.PACKETS:
            return OpusPackets(form.channels, form.lanes)
        return self._for(said.demuxer)

    def _for(self, demuxer: str) -> Decoder:
        lanes = self._form.lanes
        own: dict[str, type[Wav | Flac | Mp3]] = {"wav": Wav, "flac": Flac, "mp3": Mp3}
        return own[demuxer](lanes) if demuxer in own else Container(demuxer, lanes)
