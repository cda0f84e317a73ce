"""What a session remembers of itself for whoever may go on with it. Sans-I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from gateway.events import Transcript
from gateway.lane import Lane
from gateway.resume.state import MAX_FINALS, MAX_FINALS_BYTES, Mark, Record, Stand, Told, encode


class Memory:
    def __init__(self, lanes: tuple[Lane, ...], finals: Iterable[Told] = ()) -> None:
        self._lanes = lanes
        self._finals: deque[tuple[Told, int]] = deque()  # each with its size
        self._size = 0
        for told in finals:
            self._remember(told)

    def tell(self, lane: Lane, said: Transcript) -> Transcript:
        """It is on its way to the client, and says how far the stream is with it."""
        lane.tell(said)
        self._remember(
            Told(
                said.seq, said.words, said.start_ms, said.end_ms, said.speech_final, said.from_finalize,
                said.billed_ms, said.channel,
            )
        )  # fmt: skip
        return replace(said, mark=self.mark(said.seq + 1))

    def _remember(self, told: Told) -> None:
        size = len(encode(told))
        self._finals.append((told, size))
        self._size += size
        # The last one stays, however long it is.
        while len(self._finals) > 1 and (len(self._finals) > MAX_FINALS or self._size > MAX_FINALS_BYTES):
            self._size -= self._finals.popleft()[1]

    def mark(self, next_seq: int) -> Mark:
        return Mark(next_seq, tuple(lane.mark() for lane in self._lanes))

    def record(self, next_seq: int, called_back: int) -> Record:
        return Record(Stand(self.mark(next_seq), called_back), tuple(told for told, _ in self._finals))


def say_again(told: Told) -> Transcript:
    """Without a mark: the stream is further than that."""
    return Transcript(
        seq=told.seq,
        words=told.words,
        start_ms=told.start_ms,
        end_ms=told.end_ms,
        is_final=True,
        speech_final=told.speech_final,
        from_finalize=told.from_finalize,
        billed_ms=told.billed_ms,
        channel=told.channel,
    )
