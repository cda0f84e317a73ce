"""What has to be known of a stream to go on with it elsewhere. Plain data; no audio is in it."""

from __future__ import annotations

import msgspec

from wire.messages import Word

# Of the finals said last: what a client may have missed.
MAX_FINALS = 64
MAX_TOKEN_LENGTH = 4096
# Each connection of a stream has epochs of its own, so that two that do not know of each other share none.
EPOCHS = 1 << 20


class LaneMark(msgspec.Struct, frozen=True, array_like=True):
    """How far a lane is. Milliseconds are of the audio that the client sends."""

    start_ms: int  # a worker that takes it next is to hear it from here
    told_ms: int  # finals have been said until here
    processed: int  # samples
    input_ms: int
    billed_ms: int
    paused: bool  # the last of those finals said that the speaker paused
    said: tuple[str, ...] = ()  # the last words of those finals; left out of tokens


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """How far a stream is, right after a final."""

    next_seq: int
    lanes: tuple[LaneMark, ...]

    @property
    def start_ms(self) -> int:
        """All channels come in the same frames: the client sends from where the first of them is needed."""
        return min(lane.start_ms for lane in self.lanes)


class Told(msgspec.Struct, frozen=True, array_like=True):
    """A final that was said, as it was before it was formatted."""

    seq: int
    words: tuple[Word, ...]
    start_ms: int
    end_ms: int
    speech_final: bool
    from_finalize: bool
    billed_ms: int
    channel: int


class Record(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a stream for whoever goes on with it."""

    mark: Mark
    finals: tuple[Told, ...]
    called_back: int


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Record).decode
