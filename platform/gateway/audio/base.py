"""What a decoder is. A stream knows this and nothing else of an encoding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

# A stretch of audio as the wire carries it: the samples of each lane, all equally long.
Pcm: TypeAlias = tuple[bytes, ...]

MAX_CHANNELS = 8
# No piece is longer, so that what a small frame unpacks to never has to be held at once.
MAX_PIECE_BYTES = 64_000


@dataclass(frozen=True)
class AudioFormat:
    """What the client says that it sends. Without `encoding` it is a container that says so itself."""

    encoding: str | None
    sample_rate: int = 16_000
    channels: int = 1
    lanes: int = 1  # 1: mixed down; otherwise one for each channel


class Decoder(Protocol):
    """May be fed any split of the byte stream: no sample is lost or doubled at a border.

    `feed` and `finish` give pieces of at most MAX_PIECE_BYTES a lane, and do their work while they are
    iterated; each must be exhausted before the next call. They raise `BadAudio` for what cannot be decoded,
    after every sample before it was given.
    """

    @property
    def input_ms(self) -> int:
        """Milliseconds of audio given out or certain so far, whole ones, as the client's clock has them."""

    def quick(self, size: int) -> bool:
        """Whether feeding this many bytes is so little work that it may be done on the event loop."""

    def feed(self, data: bytes) -> Iterator[Pcm]:
        """The samples that are certain now."""

    def finish(self) -> Iterator[Pcm]:
        """The samples that were held back; nothing may be fed afterwards."""

    def close(self) -> None:
        """Let go of threads and memory, from whatever state; may be called more than once.

        Also while another thread iterates: what that still makes of its bytes starts nothing new.
        """
