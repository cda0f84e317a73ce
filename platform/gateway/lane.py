"""One channel of a stream, as one stream of a worker: positions, the order of finals, what is billed.

Sans-I/O, like the session that owns it. A lane has a name of its own on the wire and in the usage record.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.events import Transcript, UsageRange
from wire.messages import (
    BYTES_PER_SAMPLE,
    SAMPLE_RATE,
    Abort,
    Audio,
    End,
    Ended,
    Final,
    Flush,
    Flushed,
    Progress,
    ToWorker,
)
from wire.processed import most_samples, processed_ms

# A longer frame is sent to the worker in pieces, so that one stream's hour does not hold up the others' tick.
MAX_AUDIO_ITEM_BYTES = 32_000


class OutOfOrder(Exception):
    """A final came that is not the next one."""


class Lane:
    def __init__(self, name: str, channel: int = 0) -> None:
        self.name, self.channel = name, channel
        self.epoch = 1
        self.input_ms = 0  # of audio that the client sent
        self.billed_ms = 0
        self.flushes_asked = self.flushes_done = 0
        self.ending = self.ended = False
        self.to_worker: list[ToWorker] = []
        self.usage: list[UsageRange] = []
        self._sent = self._processed = 0  # samples
        self._held_back = b""
        self._complete = False
        self._next_index = 0  # of the worker's finals
        self._held_final: Transcript | None = None

    # ---- to the worker

    @property
    def sent(self) -> int:
        return self._sent

    @property
    def flushing(self) -> bool:
        return self.flushes_done < self.flushes_asked

    def move(self) -> None:
        """The next worker, or the same one again, counts its finals from 0 and its samples from `sent`."""
        self._next_index = 0

    @property
    def processed(self) -> int:
        return self._processed

    def send_audio(self, pcm: bytes, input_ms: int) -> None:
        self.input_ms = input_ms
        # A resampler rounds up at its end. Until `end`, the worker must never have more than the client sent:
        # it counts samples only, and its record is to be no larger than ours.
        pcm, most = self._held_back + pcm, max(0, most_samples(input_ms) - self._sent) * BYTES_PER_SAMPLE
        self._held_back = pcm[most:]
        self._send(pcm[:most])

    def _send(self, pcm: bytes) -> None:
        for start in range(0, len(pcm), MAX_AUDIO_ITEM_BYTES):
            piece = pcm[start : start + MAX_AUDIO_ITEM_BYTES]
            self.to_worker.append(Audio(stream=self.name, epoch=self.epoch, position=self._sent, pcm=piece))
            self._sent += len(piece) // BYTES_PER_SAMPLE

    def flush(self) -> None:
        self.flushes_asked += 1
        self.to_worker.append(Flush(stream=self.name, epoch=self.epoch, token=self.flushes_asked))

    def end(self, input_ms: int) -> None:
        self.input_ms, self.ending = input_ms, True
        self._send(self._held_back)
        self.to_worker.append(End(stream=self.name, epoch=self.epoch, input_ms=input_ms))

    def abort(self) -> None:
        if not self.ended:
            self.to_worker.append(Abort(stream=self.name, epoch=self.epoch, processed=self._processed))

    @property
    def waiting_samples(self) -> int:
        return self._sent - self._processed

    @property
    def processed_ms(self) -> int:
        return processed_ms(self._processed, self.input_ms, complete=self._complete)

    # ---- from the worker

    def progress(self, processed: int) -> None:
        # A worker cannot have processed what it was not sent; believing it would bill what was not there.
        self._processed = max(self._processed, min(processed, self._sent))

    def complete(self, item: Ended) -> None:
        """The worker has ended the stream."""
        self.progress(item.processed)
        self._complete = self.ending and self._processed >= self._sent

    def bill(self, *, at_least_ms: int = 1) -> None:
        if (to_ms := self.processed_ms) - self.billed_ms >= at_least_ms:
            self.usage.append(UsageRange(self.name, self.billed_ms, to_ms))
            self.billed_ms = to_ms

    def final(self, item: Final) -> list[Transcript]:
        """The finals that may be said now. The last one before `Flushed` is the one to be marked, so until
        that is known one is held back."""
        if item.index != self._next_index:
            raise OutOfOrder
        self._next_index += 1
        due = self.release()
        self._held_final = Transcript(
            seq=0,  # the session's to give
            words=item.words,
            start_ms=item.start_ms,
            end_ms=item.end_ms,
            is_final=True,
            speech_final=item.speech_final,
            channel=self.channel,
        )
        return due + self.release() if self.flushes_done == self.flushes_asked else due

    def flushed(self, item: Flushed) -> list[Transcript]:
        if not self.flushes_done < item.token <= self.flushes_asked:
            return []
        self.flushes_done = item.token
        if self._held_final is None:
            at_ms = self.processed_ms
            self._held_final = Transcript(
                seq=0, words=(), start_ms=at_ms, end_ms=at_ms, is_final=True, channel=self.channel
            )
        return self.release(from_finalize=True)

    def release(self, *, from_finalize: bool = False) -> list[Transcript]:
        held, self._held_final = self._held_final, None
        return [] if held is None else [replace(held, from_finalize=from_finalize)]

    def speech_end_ms(self, item: Progress) -> int:
        return min(item.speech_end, item.processed) * 1000 // SAMPLE_RATE
