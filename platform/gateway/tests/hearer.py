"""A worker as a lane knows it, by hand: it hears words at given times, chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.events import Transcript
from gateway.lane import Lane
from gateway.tests.driving import words
from wire.messages import (
    SAMPLE_RATE,
    Audio,
    End,
    Ended,
    Final,
    Flush,
    Flushed,
    Progress,
    ToGateway,
    ToWorker,
    Word,
)

CHUNK = 1600
PER_MS = SAMPLE_RATE // 1000
SECOND = b"\x01\x00" * SAMPLE_RATE


def talk(sentences: Sequence[int], pace_ms: int = 300, pause_ms: int = 1500) -> tuple[Word, ...]:
    """Words one after the other, so many to a sentence, and a pause after each."""
    words, at, number = [], 200, 0
    for count in sentences:
        for _ in range(count):
            words.append(Word(f"w{number}", at, at + 240, 0.9))
            at, number = at + pace_ms, number + 1
        at += pause_ms
    return tuple(words)


@dataclass
class Hearer:
    lane: Lane
    words: Sequence[Word]
    start: int = 0
    shift_ms: int = 0  # of all times, as somebody may hear it who has not heard what was before
    received: int = 0
    processed: int = 0
    index: int = 0
    flushes: list[tuple[int, int]] = field(default_factory=list)
    ended: bool = False
    heard: list[Word] = field(default_factory=list)  # and not in a final yet
    said_until: int = 0

    def __post_init__(self) -> None:
        self.received = self.processed = self.said_until = self.start

    def take(self, items: Sequence[ToWorker]) -> None:
        for item in items:
            assert item.epoch == self.lane.epoch
            assert not self.ended
            if isinstance(item, Audio):
                assert item.position == self.received
                assert item.pcm
                self.received += len(item.pcm) // 2
            elif isinstance(item, Flush):
                self.flushes.append((self.received, item.token))
            elif isinstance(item, End):
                self.ended = True

    def step(self, chunks: int = 1) -> list[ToGateway]:
        """So many chunks, or to a flush or the end of the stream."""
        said: list[ToGateway] = []
        for _ in range(chunks):
            said += self._step()
        return said

    def _step(self) -> list[ToGateway]:
        at = self.processed + CHUNK
        flush = self.flushes[0] if self.flushes and self.flushes[0][0] <= at else None
        last = self.ended and not self.flushes and self.received <= at
        if flush is None and not last and self.received < at:
            return []
        before, self.processed = self.processed, min(at, flush[0] if flush else at, self.received)
        said: list[ToGateway] = []
        heard = [word for word in self._shifted() if before < word.end_ms * PER_MS <= self.processed]
        # What began before the first sample is not understood.
        self.heard += [word for word in heard if word.start_ms * PER_MS >= self.start]
        pause = self.heard and self.processed - self.heard[-1].end_ms * PER_MS >= 700 * PER_MS
        if self.heard and (pause or flush or last or len(self.heard) >= 8):
            said.append(self._final(bool(pause)))
        confirmed = self._confirmed(flush is not None or last)
        said.append(
            Progress(
                stream=self.lane.name, epoch=self.lane.epoch, processed=self.processed, confirmed=confirmed
            )
        )
        if flush is not None:
            self.flushes.pop(0)
            said.append(Flushed(stream=self.lane.name, epoch=self.lane.epoch, token=flush[1]))
        if last:
            said.append(Ended(stream=self.lane.name, epoch=self.lane.epoch, processed=self.processed))
        return said

    def _shifted(self) -> list[Word]:
        return [
            Word(word.text, word.start_ms + self.shift_ms, word.end_ms + self.shift_ms, 0.9)
            for word in self.words
        ]

    def _final(self, pause: bool) -> Final:
        words, self.heard = tuple(self.heard), []
        self.index += 1
        self.said_until = words[-1].end_ms * PER_MS
        return Final(
            stream=self.lane.name,
            epoch=self.lane.epoch,
            index=self.index - 1,
            start_ms=words[0].start_ms,
            end_ms=words[-1].end_ms,
            words=words,
            speech_final=pause,
        )

    def _confirmed(self, flushed: bool) -> int:
        if self.heard:
            return min(self.processed, self.heard[0].start_ms * PER_MS)
        if flushed:
            return self.processed
        under_way = [word for word in self._shifted() if word.end_ms * PER_MS > self.processed]
        begins = under_way[0].start_ms * PER_MS if under_way else self.processed
        return max(self.said_until, min(self.processed, begins))


def seconds(position: int) -> float:
    return position / SAMPLE_RATE


def lane_with(seconds: int, lead_s: float = 10.0) -> Lane:
    """Which has sent its worker that much."""
    lane = Lane("s", lead_s=lead_s)
    lane.open_on(1, CHUNK)
    hear(lane, seconds)
    lane.items_to_send()
    return lane


def hear(lane: Lane, seconds: int) -> None:
    lane.send_audio(SECOND * seconds, lane.input_ms + seconds * 1000)


def move(lane: Lane) -> int:
    start = lane.pin()
    lane.go_on(lane.epoch + 1, start, CHUNK)
    return start


def final(lane: Lane, index: int, text: str, at_s: float, *, speech_final: bool = True) -> list[Transcript]:
    """Words of a tenth of a second each, the first at that time."""
    at_ms = int(at_s * 1000)
    said = tuple(Word(w.text, w.start_ms + at_ms, w.end_ms + at_ms, 0.9) for w in words(text))
    end_ms = said[-1].end_ms if said else at_ms
    return lane.final(
        Final(
            stream="s",
            epoch=lane.epoch,
            index=index,
            start_ms=at_ms,
            end_ms=end_ms,
            words=said,
            speech_final=speech_final,
        )
    )


def texts(finals: list[Transcript]) -> list[str]:
    return [" ".join(word.text for word in final.words) for final in finals]
