"""What has to be known of a stream to go on with it elsewhere. Plain data; no audio is in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from gateway.rejoin import REMEMBERED_WORDS
from wire.messages import Word

# Of the finals said last: what a client may have missed. Encoded, and however many they are.
MAX_FINALS, MAX_FINALS_BYTES = 64, 64 * 1024
MAX_TOKEN_LENGTH = 4096
# Each connection of a stream has epochs of its own, so that two that do not know of each other share none.
# The record of usage keeps an epoch in 32 bits, with a sign.
EPOCHS, MAX_GENERATION = 1 << 14, (1 << 17) - 1

Whole = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


class LaneMark(msgspec.Struct, frozen=True, array_like=True):
    """How far a lane is. Milliseconds are of the audio that the client sends."""

    start_ms: Whole  # a worker that takes it next is to hear it from here
    told_ms: Whole  # finals have been said until here
    processed: Whole  # samples
    input_ms: Whole
    billed_ms: Whole
    paused: bool  # the last of those finals said that the speaker paused
    skipped_ms: Whole = 0  # of what is before `billed_ms`, and is billed to nobody


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """How far a stream is, right after a final."""

    next_seq: Whole
    lanes: Annotated[tuple[LaneMark, ...], msgspec.Meta(min_length=1)]

    @property
    def start_ms(self) -> int:
        """All channels come in the same frames: the client sends from where the first of them is needed."""
        return min(lane.start_ms for lane in self.lanes)

    @property
    def input_ms(self) -> int:
        return max(lane.input_ms for lane in self.lanes)


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


class Stand(msgspec.Struct, frozen=True, array_like=True):
    """How far a stream is, without a word that was said."""

    mark: Mark
    called_back: int  # so many finals, to the customer's own server


class Record(msgspec.Struct, frozen=True):
    """What is kept of a stream for whoever goes on with it."""

    stand: Stand
    finals: tuple[Told, ...] = ()

    @property
    def mark(self) -> Mark:
        return self.stand.mark

    def said(self, channel: int) -> tuple[str, ...]:
        """The last words of the channel's finals, back to the first final that is not known."""
        words: list[str] = []
        for behind, told in enumerate(reversed(self.finals), 1):
            if told.seq != self.mark.next_seq - behind:
                break
            if told.channel == channel:
                words[:0] = (word.text for word in told.words)
        return tuple(words[-REMEMBERED_WORDS:])


encode = msgspec.msgpack.Encoder().encode
_stand = msgspec.msgpack.Decoder(Stand)
_told = msgspec.msgpack.Decoder(Told)


def record(stand: bytes, finals: Iterable[bytes]) -> Record:
    """Of what was encoded. What was written twice counts once."""
    found = {told.seq: told for told in map(_told.decode, finals)}
    return Record(_stand.decode(stand), tuple(found[seq] for seq in sorted(found)))
