"""One stream in the worker: the audio that waits, where it shall be flushed, and what has been said of it.

Positions are samples from the first sample of the stream, also when it began on another worker.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from inference_worker.engines.base import Row, Samples
from inference_worker.slots import Lease
from wire.messages import BYTES_PER_SAMPLE, SAMPLE_RATE, StreamOptions

WINDOW_SAMPLES = 60 * SAMPLE_RATE
MAX_FLUSHES = 1000
REMEMBERED_ARRIVALS = 64  # some seconds of audio that went to the engine
NO_LEASE = Lease(-1, -1)
SCALE = np.float32(1 / 32768)
# Audio that was sent ahead is due as it would have been spoken, or a little before: what came late once would
# else be taken for sent ahead for the rest of its stream.
SPOKEN_PER_S = 1.1 * SAMPLE_RATE


class StreamError(Exception):
    """A stream cannot go on; `code` says why, to the gateway."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(eq=False, slots=True)
class Stream:
    id: str
    epoch: int
    gateway: str
    tenant: str
    options: StreamOptions
    start: int
    replay_until: int = 0  # audio before it was heard elsewhere, and is here faster than it was spoken
    lease: Lease = NO_LEASE

    received: int = 0  # the position the next audio must have
    taken: int = 0  # audio before it went to the engine
    processed: int = 0  # audio before it came back from the engine
    confirmed: int = 0
    input_ms: int | None = None  # of all that the client sent, once that is known
    speech_end: int = 0  # as far as is known
    finals: int = 0
    tokens: tuple[int, ...] = ()  # flushes that the engine is at
    finishing: bool = False  # the engine has the last row
    queued: bool = False  # it waits for a step
    rode_at: float = 0.0
    live: bool = field(init=False)
    unanswered_speech: int | None = None  # where somebody began to speak of whom nothing was said yet

    _pcm: bytearray = field(default_factory=bytearray)
    _due: float = -math.inf  # when the row that was taken last was complete, and spoken
    _arrivals: deque[tuple[int, float]] = field(default_factory=deque)
    _past: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=REMEMBERED_ARRIVALS))
    _flushes: deque[tuple[int, int, float]] = field(default_factory=deque)  # position, token, when it came
    _ended_at: float = math.inf

    def __post_init__(self) -> None:
        self.received = self.taken = self.processed = self.confirmed = self.start
        self.live = not self.options.recorded

    @property
    def timed(self) -> bool:
        """Whether it hears what is spoken now, so that somebody waits for the answer."""
        return self.live and self.taken >= self.replay_until

    @property
    def marks(self) -> tuple[int, int, int]:
        return self.processed, self.confirmed, self.speech_end

    # ---- what the gateway sends

    def audio(self, position: int, pcm: bytes, now: float) -> None:
        if position != self.received or len(pcm) % BYTES_PER_SAMPLE or self._ended:
            raise StreamError("audio_gap")
        samples = len(pcm) // BYTES_PER_SAMPLE
        if self.received + samples - self.processed > WINDOW_SAMPLES:
            raise StreamError("audio_overrun")
        if not samples:
            return  # nothing has arrived, and nothing of it is kept
        self._pcm += pcm
        self.received += samples
        if self._arrivals and self._arrivals[-1][1] == now:
            self._arrivals.pop()
        self._arrivals.append((self.received, now))

    def flush(self, token: int, now: float) -> None:
        if len(self._flushes) >= MAX_FLUSHES:
            raise StreamError("flush_overrun")
        self._flushes.append((self.received, token, now))

    def end(self, now: float, input_ms: int | None = None) -> None:
        self._ended_at, self.input_ms = now, input_ms

    @property
    def _ended(self) -> bool:
        return self._ended_at < math.inf

    # ---- what the engine takes

    def ready(self, chunk: int) -> bool:
        """True if there is a row to take. While a flush is under way there is not: its answer comes first."""
        if self.tokens or self.finishing:
            return False
        within = self.taken + chunk
        return within <= self.received or self._ended or bool(self._flushes and self._flushes[0][0] <= within)

    def since(self, chunk: int) -> float:
        """When the row that is ready was complete, which is yet to come for live audio that was sent ahead.
        Recorded audio and a replay are there at once: their rows wait since the one before, else they would
        count as overdue all the time."""
        end = self.taken + chunk
        if self._flushes and self._flushes[0][0] < end:
            end, _, came = self._flushes[0]
        elif self.received < end:
            end, came = self.received, self._ended_at
        else:
            came = next(at for position, at in self._arrivals if position >= end)
        return max(came, self._due + (end - self.taken) / SPOKEN_PER_S if self.timed else self.rode_at)

    def is_ahead(self, now: float) -> bool:
        """Whether it has heard what would not have been spoken yet, so that nobody waits for the answer."""
        return self._due > now

    def arrival(self, position: int) -> float | None:
        """When the audio before `position` was here; None if it is not, or if that is too long ago."""
        found = None
        for until, at in chain(reversed(self._arrivals), reversed(self._past)):
            if until < position:
                return found
            found = at
        return found if len(self._past) < REMEMBERED_ARRIVALS else None

    def take(self, chunk: int, chunks: int = 1, now: float = 0.0) -> Row:
        """The row that is ready; of up to so many chunks where more of them wait."""
        if self.timed:
            self._due = self.since(chunk)
        self.rode_at = now
        size = self.received - self.taken
        if not self._ended and not self._flushes:
            size = size // chunk * chunk
        end = self.taken + min(size, chunks * chunk)
        if self._flushes:
            end = min(end, self._flushes[0][0])
        while self._flushes and self._flushes[0][0] == end:
            self.tokens = (*self.tokens, self._flushes.popleft()[1])
        self.finishing = self._ended and end == self.received and not self._flushes
        samples = self._cut(end - self.taken)
        self.taken = end
        while self._arrivals and self._arrivals[0][0] <= end:
            self._past.append(self._arrivals.popleft())
        return Row(self.lease.slot, samples, flush=bool(self.tokens), last=self.finishing)

    def _cut(self, samples: int) -> Samples:
        # Not a view: as long as there is one, the buffer cannot be shortened.
        heard = np.frombuffer(self._pcm, "<i2", samples).astype(np.float32)
        heard *= SCALE
        del self._pcm[: samples * BYTES_PER_SAMPLE]
        return heard
