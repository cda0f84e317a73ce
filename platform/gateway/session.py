"""One stream, from accept to close, as a protocol: no Django, no Redis, no socket and no clock of its own.

What the client, the worker and the clock say goes in through `receive_…` and `tick`; what is to be said
to them is taken out through `…_to_send`. Every method may be called in any order and never raises.

    open ──CloseStream──▶ ending ──Ended──▶ closed        (Summary, then 1000)
      └──────── error, disconnect, time ──────▶ closed     (Problem, then the error's close code)
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import Enum, auto

from gateway.audio import Decoder
from gateway.errors import (
    BadMessage,
    EngineFailed,
    GatewayError,
    IdleTimeout,
    StreamError,
    StreamTooLong,
    WorkerLost,
)
from gateway.events import (
    AudioReceived,
    ClientMessage,
    Close,
    CloseStream,
    Command,
    Finalize,
    Problem,
    Summary,
    Transcript,
    UsageRange,
)
from wire.messages import (
    BYTES_PER_SAMPLE,
    SAMPLE_RATE,
    Abort,
    Audio,
    End,
    Ended,
    Failed,
    Final,
    Flush,
    Flushed,
    Partial,
    Progress,
    ToGateway,
    ToWorker,
)

# A longer frame is sent to the worker in pieces, so that one stream's hour does not hold up the others' tick.
MAX_AUDIO_ITEM_BYTES = 32_000
MAX_BAD_MESSAGES = 20
MAX_FLUSHES_WAITING = 16
MAX_MESSAGES_WAITING = 256


@dataclass(frozen=True)
class Limits:
    idle_s: float
    max_s: float
    window_s: float
    usage_every_s: float


class State(Enum):
    OPEN = auto()
    ENDING = auto()
    CLOSED = auto()


class Session:
    def __init__(
        self,
        *,
        stream: str,
        decoder: Decoder,
        limits: Limits,
        interim_results: bool,
        now: float,
        epoch: int = 1,
    ) -> None:
        self.stream = stream
        self.epoch = epoch
        self.state = State.OPEN
        self.billed_ms = 0
        self._decoder = decoder
        self._limits = limits
        self._interim_results = interim_results
        self._opened_at = self._heard_at = now
        self._sha256 = hashlib.sha256()
        self._sent = 0  # samples given to the worker
        self._processed = 0  # samples the worker has put through its engine
        self._next_index = 0  # of the worker's finals
        self._next_seq = 0  # of ours
        self._flushes_asked = self._flushes_done = 0
        self._held_final: Transcript | None = None
        self._bad_messages = 0
        self._to_worker: list[ToWorker] = []
        self._to_client: list[ClientMessage] = []
        self._usage: list[UsageRange] = []
        self._close: Close | None = None

    # ---- the client

    def receive(self, command: Command, now: float) -> None:
        if self.state is not State.OPEN:
            return
        self._heard_at = now
        if isinstance(command, AudioReceived):
            self._sha256.update(command.data)
            self._send_audio(self._decoder.feed(command.data))
        elif isinstance(command, Finalize):
            self._flushes_asked += 1
            self._to_worker.append(Flush(stream=self.stream, epoch=self.epoch, token=self._flushes_asked))
        elif isinstance(command, CloseStream):
            self._send_audio(self._decoder.finish())
            self._to_worker.append(End(stream=self.stream, epoch=self.epoch))
            self.state = State.ENDING

    def receive_bad_message(self, error: BadMessage, now: float) -> None:
        """A message the dialect cannot read costs its sender an error; many cost the stream."""
        if self.state is not State.OPEN:
            return
        self._heard_at = now
        self._bad_messages += 1
        if self._bad_messages >= MAX_BAD_MESSAGES:
            self.fail(error)
        else:
            self._to_client.append(Problem(error))

    def receive_disconnect(self) -> None:
        """The socket is gone: what was processed is billed, the rest is not done."""
        if self.state is not State.CLOSED:
            self._to_worker.append(Abort(stream=self.stream, epoch=self.epoch))
            self._bill(self._processed_ms)
            self._shut(Close(1006))

    # ---- the worker

    def receive_from_worker(self, item: ToGateway) -> None:
        if self.state is State.CLOSED or item.stream != self.stream or item.epoch != self.epoch:
            return
        if isinstance(item, Progress):
            self._progress(item.processed)
        elif isinstance(item, Partial):
            self._partial(item)
        elif isinstance(item, Final):
            self._final(item)
        elif isinstance(item, Flushed):
            self._flushed(item)
        elif isinstance(item, Ended):
            self._progress(item.processed)
            self._release_final(from_finalize=self._flushes_done < self._flushes_asked)
            self._bill(self._processed_ms)
            self._to_client.append(Summary(self._decoder.input_ms, self._sha256.hexdigest(), self.billed_ms))
            self._shut(Close(1000))
        elif isinstance(item, Failed):
            self._progress(item.processed)
            # The worker has freed the slot itself: there is nothing left to abort.
            self._fail_without_abort(EngineFailed(f"Reason: {item.code}."))

    def receive_worker_lost(self) -> None:
        if self.state is not State.CLOSED:
            self._fail_without_abort(WorkerLost())

    # ---- the clock and the house

    def tick(self, now: float) -> None:
        if self.state is State.CLOSED:
            return
        if now - self._opened_at >= self._limits.max_s:
            self.fail(StreamTooLong(f"That is {self._limits.max_s:g} seconds."))
        elif self.state is State.OPEN:
            if self.window_full:
                self._heard_at = now  # we are not listening, so the client cannot be silent
            elif now - self._heard_at >= self._limits.idle_s:
                self.fail(IdleTimeout(f"That is {self._limits.idle_s:g} seconds."))

    def next_deadline(self) -> float:
        deadline = self._opened_at + self._limits.max_s
        if self.state is State.OPEN:
            deadline = min(deadline, self._heard_at + self._limits.idle_s)
        return deadline

    def fail(self, error: GatewayError) -> None:
        """End the stream by name, on behalf of the gateway: a revoked key, a slow client, a stop."""
        if self.state is not State.CLOSED:
            self._to_worker.append(Abort(stream=self.stream, epoch=self.epoch))
            self._fail_without_abort(error)

    @property
    def window_full(self) -> bool:
        """True while so much waits, for the worker or for the client, that the client is not to be read."""
        return self.state is State.OPEN and (
            self._sent - self._processed >= self._limits.window_s * SAMPLE_RATE
            or self._flushes_asked - self._flushes_done >= MAX_FLUSHES_WAITING
            or len(self._to_client) >= MAX_MESSAGES_WAITING
        )

    # ---- what is to be sent

    def items_to_send(self) -> list[ToWorker]:
        items, self._to_worker = self._to_worker, []
        return items

    def next_message_to_send(self) -> ClientMessage | None:
        return self._to_client.pop(0) if self._to_client else None

    def usage_to_record(self) -> list[UsageRange]:
        usage, self._usage = self._usage, []
        return usage

    @property
    def close_to_send(self) -> Close | None:
        """Set once; to be sent when every message before it has been."""
        return self._close

    # ---- inside

    def _send_audio(self, pcm: bytes) -> None:
        for start in range(0, len(pcm), MAX_AUDIO_ITEM_BYTES):
            piece = pcm[start : start + MAX_AUDIO_ITEM_BYTES]
            self._to_worker.append(
                Audio(stream=self.stream, epoch=self.epoch, position=self._sent, pcm=piece)
            )
            self._sent += len(piece) // BYTES_PER_SAMPLE

    @property
    def _processed_ms(self) -> int:
        # Resampling rounds; when all of it is processed, what the client sent is the exact figure.
        if self.state is State.ENDING and self._processed >= self._sent:
            return self._decoder.input_ms
        return min(self._processed * 1000 // SAMPLE_RATE, self._decoder.input_ms)

    def _progress(self, processed: int) -> None:
        # A worker cannot have processed what it was not sent; believing it would bill what was not there.
        self._processed = max(self._processed, min(processed, self._sent))
        if self._processed_ms - self.billed_ms >= self._limits.usage_every_s * 1000:
            self._bill(self._processed_ms)

    def _bill(self, to_ms: int) -> None:
        if to_ms > self.billed_ms:
            self._usage.append(UsageRange(self.billed_ms, to_ms))
            self.billed_ms = to_ms

    def _partial(self, item: Partial) -> None:
        if not self._interim_results:
            return
        self._drop_unsent_partial()
        self._to_client.append(
            Transcript(
                seq=self._next_seq,
                words=item.words,
                start_ms=item.start_ms,
                end_ms=item.end_ms,
                is_final=False,
                stability=item.stability,
                billed_ms=self.billed_ms,
            )
        )

    def _final(self, item: Final) -> None:
        if item.index != self._next_index:
            # The link delivers in order; should it ever not, stop rather than lose or repeat words.
            self.fail(StreamError("Its results came out of order."))
            return
        self._next_index += 1
        self._release_final()
        self._held_final = Transcript(
            seq=self._next_seq,
            words=item.words,
            start_ms=item.start_ms,
            end_ms=item.end_ms,
            is_final=True,
            speech_final=item.speech_final,
            billed_ms=self.billed_ms,
        )
        # The last final before `Flushed` is the one to be marked; until that is known it is held back.
        if self._flushes_done == self._flushes_asked:
            self._release_final()

    def _flushed(self, item: Flushed) -> None:
        if not self._flushes_done < item.token <= self._flushes_asked:
            return
        self._flushes_done = item.token
        if self._held_final is None:
            at_ms = self._processed_ms
            self._held_final = Transcript(
                seq=self._next_seq,
                words=(),
                start_ms=at_ms,
                end_ms=at_ms,
                is_final=True,
                billed_ms=self.billed_ms,
            )
        self._release_final(from_finalize=True)

    def _release_final(self, *, from_finalize: bool = False) -> None:
        if self._held_final is None:
            return
        self._drop_unsent_partial()
        self._to_client.append(replace(self._held_final, from_finalize=from_finalize))
        self._held_final = None
        self._next_seq += 1

    def _drop_unsent_partial(self) -> None:
        """A client that does not read loses partials, never finals; a newer result makes a partial stale."""
        if self._to_client and isinstance(last := self._to_client[-1], Transcript) and not last.is_final:
            self._to_client.pop()

    def _fail_without_abort(self, error: GatewayError) -> None:
        self._release_final()
        self._bill(self._processed_ms)
        self._to_client.append(Problem(error))
        self._shut(Close(error.close_code, error.code))

    def _shut(self, close: Close) -> None:
        self.state = State.CLOSED
        self._close = close
