"""One stream, from accept to close, as a protocol: no Django, no Redis, no socket and no clock of its own.

What the client, the worker and the clock say goes in through `receive_…` and `tick`; what is to be said
to them is taken out through `…_to_send`. Every method may be called in any order and never raises. Audio
comes in decoded: `receive_bytes` notes what was sent, `receive_audio` takes what it was.

    open ──CloseStream──▶ ending ──all lanes ended──▶ closed    (Summary, then 1000)
      ├─────wind_up─────▶ ending ──all lanes ended──▶ closed    (Problem, then the error's close code)
      └──────── error, disconnect, time ────────────▶ closed    (Problem, then the error's close code)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto

from gateway.errors import (
    GatewayError,
    IdleTimeout,
    StreamError,
    StreamTooLong,
)
from gateway.events import (
    Answer,
    ClientMessage,
    Close,
    CloseStream,
    Command,
    Finalize,
    Problem,
    SpeechBegan,
    Summary,
    Transcript,
    UsageRange,
    UtteranceEnd,
)
from gateway.lane import Lane, OutOfOrder
from gateway.pauses import PauseWatch
from gateway.resume.memory import Memory, say_again
from gateway.resume.state import Told
from wire.messages import (
    SAMPLE_RATE,
    Ended,
    Failed,
    Final,
    Flushed,
    Partial,
    Progress,
    SpeechStarted,
    ToGateway,
)

MAX_BAD_MESSAGES = 20
MAX_FLUSHES_WAITING = 16
MAX_MESSAGES_WAITING = 256
# For the worker to finish what it was sent before a stream was wound up.
WIND_UP_S = 5.0


@dataclass(frozen=True)
class Limits:
    idle_s: float
    max_s: float
    window_s: float
    usage_every_s: float


@dataclass(frozen=True)
class Features:
    """What the client wants to hear beside finals."""

    interim_results: bool = False
    vad_events: bool = False
    utterance_end_ms: int | None = None


class State(Enum):
    OPEN = auto()
    ENDING = auto()
    CLOSED = auto()


class Session:
    def __init__(self, *, lanes: tuple[Lane, ...], limits: Limits, features: Features, now: float) -> None:
        self.lanes = lanes
        self.state = State.OPEN
        self._by_name = {lane.name: lane for lane in lanes}
        self._limits, self.features = limits, features
        self._pauses = [PauseWatch(features.utterance_end_ms or 0) for _ in lanes]
        self._opened_at = self._heard_at = now
        self._sha256 = hashlib.sha256()
        self.next_seq = 0
        self.memory: Memory | None = None  # None: nobody can come back to it
        self.error: GatewayError | None = None  # that has ended it
        self._bad_messages = 0
        self._to_client: list[ClientMessage] = []
        self._close: Close | None = None
        self._why: GatewayError | None = None  # it is wound up
        self._say_why = False  # and not only should it take too long
        self._finish_by = math.inf

    @property
    def max_s(self) -> float:
        return self._limits.max_s

    def change_features(self, features: Features) -> None:
        """From here on. A pause that has begun counts as it is wanted now."""
        self.features = features
        for watch in self._pauses:
            watch.pause_ms = features.utterance_end_ms or 0

    def restart_clock(self, now: float, open_for_s: float = 0.0) -> None:
        """The client could not speak before it was let in."""
        self._opened_at, self._heard_at = now - open_for_s, now

    # ---- for those who come back

    def remember(self, finals: Iterable[Told] = (), next_seq: int = 0, missed: Iterable[Told] = ()) -> Memory:
        """It can be resumed: every final is to tell how far the stream is. If it has been, it goes on after
        those finals, and says again those that were missed."""
        self.memory, self.next_seq = Memory(self.lanes, finals), next_seq
        self._to_client += map(say_again, missed)
        return self.memory

    def say(self, message: ClientMessage, *, first: bool = False) -> None:
        self._to_client.insert(0 if first else len(self._to_client), message)

    def part(self, error: GatewayError) -> None:
        """It has ended for this client, by name, however far it was: it goes on with another."""
        if self.state is not State.CLOSED:
            self._stop()
        self._to_client.clear()
        self._end_with(error)

    def listening(self, now: float) -> None:
        """We have not read the client until now, so it cannot have been silent."""
        if self.state is State.OPEN:
            self._heard_at = now

    # ---- the client

    def receive_bytes(self, data: bytes, now: float) -> None:
        """Audio has come, in whatever encoding."""
        if self.state is State.OPEN:
            self._heard_at = now
            self._sha256.update(data)

    def receive_audio(self, pcm: Iterable[bytes], input_ms: int) -> None:
        """The samples of each lane, and how many milliseconds of audio the client has sent by now."""
        if self.state is State.OPEN:
            for lane, samples in zip(self.lanes, pcm, strict=True):
                lane.send_audio(samples, input_ms)

    def receive(self, command: Command, now: float) -> None:
        if self.state is not State.OPEN:
            return
        self._heard_at = now
        if isinstance(command, Finalize):
            for lane in self.lanes:
                lane.flush()
        elif isinstance(command, Answer):
            self._to_client.append(command)
        elif isinstance(command, CloseStream):
            for lane in self.lanes:
                lane.end(lane.input_ms)
            self.state = State.ENDING

    def receive_bad_message(self, error: GatewayError, now: float) -> None:
        """A message the dialect cannot read costs its sender an error; many cost the stream."""
        if self.state is not State.OPEN:
            return
        self._heard_at = now
        self._bad_messages += 1
        if self._bad_messages >= MAX_BAD_MESSAGES:
            self.fail(error)
        else:
            self._to_client.append(Problem(error, fatal=False))

    def receive_disconnect(self) -> None:
        """The socket is gone: what was processed is billed, the rest is not done."""
        if self.state is not State.CLOSED:
            self._stop()
            self._shut(Close(1006))

    # ---- the worker

    def receive_from_worker(self, item: ToGateway) -> None:
        lane = self._by_name.get(item.stream)
        if self.state is State.CLOSED or lane is None or lane.ended:
            return
        if isinstance(item, Progress):
            self._progress(lane, item)
        elif isinstance(item, Partial):
            self._partial(lane, item)
        elif isinstance(item, Final):
            try:
                self._say_finals(lane, lane.final(item))
            except OutOfOrder:
                # The link delivers in order; should it ever not, stop rather than lose or repeat words.
                self.fail(StreamError("Its results came out of order."))
        elif isinstance(item, Flushed):
            self._say_finals(lane, lane.flushed(item))
        elif isinstance(item, SpeechStarted):
            if self.features.vad_events and not lane.catching_up:
                self._to_client.append(SpeechBegan(item.at_ms, lane.channel))
        elif isinstance(item, Ended):
            self._ended(lane, item)
        elif isinstance(item, Failed):
            lane.progress(item.processed)

    def can_move(self, name: str, error: GatewayError) -> bool:
        """Whether the lane is to go to another worker, now that its own has lost or left it. If it has been
        moved too often for nothing, the stream fails with the error."""
        lane = self._by_name[name]
        if self.state is State.CLOSED or lane.ended:
            return False
        if lane.may_move():
            return True
        self.fail(error)
        return False

    def stalled(self, name: str, now: float) -> bool:
        return self.state is not State.CLOSED and self._by_name[name].stalled(now)

    # ---- the clock and the house

    def tick(self, now: float) -> None:
        if self.state is State.CLOSED:
            return
        if self._why is not None and now >= self._finish_by:
            self.fail(self._why)
        elif now - self._opened_at >= self._limits.max_s:
            self.fail(StreamTooLong(f"That is {self._limits.max_s:g} seconds."))
        elif self.state is State.OPEN:
            if self.window_full:
                self._heard_at = now  # we are not listening, so the client cannot be silent
            elif now - self._heard_at >= self._limits.idle_s:
                self.fail(IdleTimeout(f"That is {self._limits.idle_s:g} seconds."))

    def next_deadline(self) -> float:
        deadline = min(self._opened_at + self._limits.max_s, self._finish_by)
        if self.state is State.OPEN:
            deadline = min(deadline, self._heard_at + self._limits.idle_s)
        return deadline

    def wind_up(self, error: GatewayError, now: float) -> bool:
        """End the stream by name, but let nothing be lost: no more audio is taken, what was sent is finished,
        and then it is said why. What takes longer than `WIND_UP_S` is failed. A client that has said by
        itself that it is done hears its own end, if that comes in time. False when it is ending already."""
        if self.state is State.CLOSED or self._why is not None:
            return False
        self._why, self._finish_by = error, now + WIND_UP_S
        if self.state is State.OPEN:
            for lane in self.lanes:
                # As if the client had said Finalize: the last final is to end its turn in every dialect. What
                # the decoder still holds is given up; it must not be billed.
                lane.flush()
                lane.end(min(lane.input_ms, lane.sent * 1000 // SAMPLE_RATE))
            self._say_why = True
            self.state = State.ENDING
        return True

    def fail(self, error: GatewayError) -> None:
        """End the stream by name: a failure, a revoked key, a slow client, a stop."""
        if self.state is State.CLOSED:
            return
        self._stop()
        self._end_with(error)

    def _stop(self) -> None:
        for lane in self.lanes:
            lane.abort()
            self._say_finals(lane, lane.release())
        self.bill()

    def bill(self) -> None:
        """Meter all that has been processed, without waiting for more."""
        for lane in self.lanes:
            lane.bill()

    @property
    def billed_ms(self) -> int:
        return sum(lane.billed_ms - lane.skipped_ms for lane in self.lanes)

    @property
    def window_full(self) -> bool:
        """True while so much waits, for the worker or for the client, that the client is not to be read."""
        return self.state is State.OPEN and (
            len(self._to_client) >= MAX_MESSAGES_WAITING or any(map(self._full, self.lanes))
        )

    def _full(self, lane: Lane) -> bool:
        return (
            lane.waiting_samples >= self._limits.window_s * SAMPLE_RATE
            or lane.flushes_asked - lane.flushes_done >= MAX_FLUSHES_WAITING
        )

    # ---- what is to be sent

    def next_message_to_send(self) -> ClientMessage | None:
        return self._to_client.pop(0) if self._to_client else None

    def usage_to_record(self) -> list[UsageRange]:
        usage = [part for lane in self.lanes for part in lane.usage]
        for lane in self.lanes:
            lane.usage.clear()
        return usage

    @property
    def close_to_send(self) -> Close | None:
        """Set once; to be sent when every message before it has been."""
        return self._close

    # ---- inside

    def _progress(self, lane: Lane, item: Progress) -> None:
        lane.progress(item.processed, item.confirmed)
        lane.bill(at_least_ms=int(self._limits.usage_every_s * 1000))
        if self.features.utterance_end_ms is not None and not lane.catching_up:
            watch = self._pauses[lane.channel]
            ended_ms = watch.silence(lane.processed_ms, lane.speech_end_ms(item))
            if ended_ms is not None:
                self._to_client.append(UtteranceEnd(ended_ms, lane.channel))

    def _partial(self, lane: Lane, heard: Partial) -> None:
        item = lane.partial(heard) if self.features.interim_results else None
        if item is None:
            return
        self._drop_unsent_partial(lane.channel)
        self._to_client.append(
            Transcript(
                seq=self.next_seq,
                words=item.words,
                start_ms=item.start_ms,
                end_ms=item.end_ms,
                is_final=False,
                stability=item.stability,
                billed_ms=self.billed_ms,
                channel=lane.channel,
            )
        )

    def _say_finals(self, lane: Lane, finals: Iterable[Transcript]) -> None:
        for final in finals:
            self._drop_unsent_partial(lane.channel)
            said = replace(final, seq=self.next_seq, billed_ms=self.billed_ms)
            self.next_seq += 1
            self._pauses[lane.channel].hear(final.words)
            self._to_client.append(said if self.memory is None else self.memory.tell(lane, said))

    def _drop_unsent_partial(self, channel: int) -> None:
        """A client that does not read loses partials, never finals; a newer result makes a partial stale."""
        for index in range(len(self._to_client) - 1, -1, -1):
            message = self._to_client[index]
            if not isinstance(message, Transcript) or message.is_final:
                return
            if message.channel == channel:
                del self._to_client[index]
                return

    def _ended(self, lane: Lane, item: Ended) -> None:
        lane.complete(item)
        self._say_finals(lane, lane.release(from_finalize=lane.flushes_done < lane.flushes_asked))
        lane.bill()
        lane.ended = True
        if not all(lane.ended for lane in self.lanes):
            return
        if self._why is not None and self._say_why:
            self._end_with(self._why)
        else:
            audio_ms = max(max(lane.input_ms, lane.billed_ms) for lane in self.lanes)
            self._to_client.append(Summary(audio_ms, self._sha256.hexdigest(), self.billed_ms))
            self._shut(Close(1000))

    def _end_with(self, error: GatewayError) -> None:
        self.error = error
        self._to_client.append(Problem(error))
        self._shut(Close(error.close_code, error.code))

    def _shut(self, close: Close) -> None:
        self.state = State.CLOSED
        self._close = close
