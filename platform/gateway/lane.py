"""One channel of a stream, as one stream of a worker: positions, the order of finals, what is billed.

Sans-I/O, like the session that owns it. A lane has a name of its own on the wire and in the usage record.

It outlives its worker: the end of its audio is on a tape, from which a worker is given what it has not had.
A new worker hears some of it again; what that says of it is not said again, and is not billed again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import msgspec

from gateway.events import Transcript, UsageRange
from gateway.rejoin import REMEMBERED_WORDS, Rejoin
from gateway.rests import Rests
from gateway.resume.state import LaneMark
from gateway.tape import Tape
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
    Partial,
    Progress,
    ToWorker,
    Word,
)
from wire.processed import most_samples, processed_ms

# A longer frame is sent to the worker in pieces, so that one stream's hour does not hold up the others' tick.
MAX_AUDIO_ITEM_BYTES = 32_000
DEFAULT_LEAD_S = 10.0
# So much is kept whatever the worker has not confirmed, and so many flushes of a client that asks for nothing
# else. An engine confirms an utterance of any length long before.
MOST_UNCONFIRMED, MOST_FLUSHES = 120 * SAMPLE_RATE, 500
# A worker holds a minute. Of a replay, which may be one of many there, it is sent what it can use soon.
MOST_AHEAD, REPLAY_AHEAD = 50 * SAMPLE_RATE, 4 * SAMPLE_RATE
# A stream that has been moved so often and got no further is the trouble itself.
MAX_FRUITLESS_MOVES = 5
# A worker that has so much to do for the lane and does none of it for so long is as good as gone.
STALLED_SAMPLES, STALLED_S = 2 * SAMPLE_RATE, 10.0


class OutOfOrder(Exception):
    """A final came that is not the next one."""


class Lane:
    def __init__(self, name: str, channel: int = 0, *, lead_s: float = DEFAULT_LEAD_S) -> None:
        """`lead_s`: so much audio before what is not confirmed does a new worker hear first, since what it
        makes of a word depends on what it has heard before."""
        self.name, self.channel = name, channel
        self.epoch = 1
        self.input_ms = 0  # of audio that the client sent
        self.billed_ms = 0  # until there
        self.skipped_ms = 0  # of that: what the client had no more when it came back
        self.flushes_asked = self.flushes_done = 0
        self.ending = self.ended = False
        self.usage: list[UsageRange] = []
        self._lead = int(lead_s * SAMPLE_RATE)
        self._tape = Tape()
        self._held_back = b""
        self._complete = False
        self._processed = self._confirmed = 0  # samples, by any worker
        self._flushes: deque[tuple[int, int]] = deque()  # position and token, of what is on the tape
        self._origin = 0  # from where the worker counts its chunks, but for flushes since
        self._pinned: int | None = None  # where a worker that is being asked would begin
        # With the worker it has now
        self._chunk = 1
        self._fed = self._worker_processed = 0  # samples
        self._flush_fed = 0  # the last token
        self._end_fed = False
        self._abort: Abort | None = None
        self._next_index = 0  # of the worker's finals
        self._rejoin: Rejoin | None = None
        # What has been said
        self._held_final: Transcript | None = None
        self._said: deque[str] = deque(maxlen=REMEMBERED_WORDS)
        self._said_until_ms = 0
        self._paused = True  # nobody has spoken since the last final
        self._rests = Rests()
        self._told: deque[str] = deque(maxlen=REMEMBERED_WORDS)  # of it, what is on its way to the client
        self._told_until_ms = 0
        self._told_pause = True
        # Moves
        self._moves, self._moved_at = 0, -1
        self._stall: tuple[object, float] | None = None

    # ---- from the client

    @property
    def sent(self) -> int:
        """What there is of it for a worker, in samples."""
        return self._tape.end

    @property
    def flushing(self) -> bool:
        return self.flushes_done < self.flushes_asked

    @property
    def waiting_samples(self) -> int:
        return self._tape.end - self._processed

    def send_audio(self, pcm: bytes, input_ms: int) -> None:
        self.input_ms = input_ms
        # A resampler rounds up at its end. Until `end`, the worker must never have more than the client sent:
        # it counts samples only, and its record is to be no larger than ours.
        pcm = self._held_back + pcm
        most = max(0, most_samples(input_ms) - self._tape.end) * BYTES_PER_SAMPLE
        self._held_back = pcm[most:]
        self._tape.append(pcm[:most])

    def flush(self) -> None:
        self.flushes_asked += 1
        self._flushes.append((self._tape.end, self.flushes_asked))

    def end(self, input_ms: int) -> None:
        self.input_ms, self.ending = input_ms, True
        self._tape.append(self._held_back)

    def abort(self) -> None:
        if not self.ended:
            self._abort = Abort(stream=self.name, epoch=self.epoch, processed=self._processed)

    # ---- to the worker

    def items_to_send(self) -> list[ToWorker]:
        """What the worker has not had, as far as it may have it now."""
        if self._abort is not None:
            abort, self._abort, self.ended = self._abort, None, True
            return [abort]
        items: list[ToWorker] = []
        if self.ended:
            return items
        ahead = REPLAY_AHEAD if self.catching_up else MOST_AHEAD
        most = min(self._tape.end, self._worker_processed + ahead)
        for position, token in self._flushes:
            if token > self._flush_fed and position <= most:
                self._feed(items, position)
                items.append(Flush(stream=self.name, epoch=self.epoch, token=token))
                self._flush_fed = token
        self._feed(items, most)
        if self.ending and not self._end_fed and self._fed == self._tape.end:
            items.append(End(stream=self.name, epoch=self.epoch, input_ms=self.input_ms))
            self._end_fed = True
        return items

    def _feed(self, items: list[ToWorker], until: int) -> None:
        while self._fed < until:
            after = min(until, self._fed + MAX_AUDIO_ITEM_BYTES // BYTES_PER_SAMPLE)
            pcm = self._tape.read(self._fed, after)
            items.append(Audio(stream=self.name, epoch=self.epoch, position=self._fed, pcm=pcm))
            self._fed = after

    # ---- from one worker to the next

    @property
    def catching_up(self) -> bool:
        """The worker has not got as far yet as another had."""
        return self._worker_processed < self._processed

    @property
    def processed(self) -> int:
        return self._processed

    @property
    def replay_from(self) -> int:
        """Where a new worker is to begin: in the last pause before the lead, so that no word is cut."""
        needed = max(self._confirmed, self._processed - MOST_UNCONFIRMED)
        begin = self._rests.before(max(0, needed - self._lead))
        many = self._flushes[-MOST_FLUSHES][0] if len(self._flushes) > MOST_FLUSHES else 0
        return max(self._on_a_chunk(begin), self._tape.start, many)

    def pin(self) -> int:
        """Where another worker is to begin. What it needs is kept until the lane goes on there, or stays."""
        self._pinned = self.replay_from
        return self._pinned

    def stay(self) -> None:
        """Nobody has taken it."""
        self._pinned = None

    def open_on(self, epoch: int, chunk: int) -> None:
        """The worker that has taken it first, which takes so many samples at a time."""
        self.epoch, self._chunk = epoch, max(1, chunk)

    def go_on(self, epoch: int, start: int, chunk: int) -> None:
        """Another worker, or the same one again, has taken it and hears it from `start` on."""
        self.epoch, self._chunk = epoch, max(1, chunk)
        self._fed = self._worker_processed = self._origin = start
        self._pinned = None
        self._flush_fed = max(
            (token for at, token in self._flushes if at <= start and token <= self.flushes_done), default=0
        )
        self._end_fed = False
        self._next_index = 0
        # Of a stream that came from another gateway the audio is not here yet.
        again = start < max(self._tape.end, self._processed, self._said_until_ms * SAMPLE_RATE // 1000)
        self._rejoin = Rejoin(self._said_until_ms, self._said) if again else None

    def start_over(self) -> None:
        """What comes from here on is another speech: no worker hears what was before."""
        self._tape = Tape(self._tape.end)
        self._origin, self._pinned = self._tape.end, None
        self._flushes.clear()
        self._rests, self._paused = Rests(self._tape.end), True

    def may_move(self) -> bool:
        """Counts, so it is to be asked once for each move from a worker that had something to do."""
        given = self._tape.end - self._worker_processed >= self._chunk or self.flushing or self._end_fed
        if self._processed > self._moved_at or (self._worker_processed > self._origin and not given):
            self._moves, self._moved_at = 0, self._processed
        self._moves += 1
        return self._moves <= MAX_FRUITLESS_MOVES

    def stalled(self, now: float) -> bool:
        """Whether the worker has long had something to do and done none of it. To be asked now and then."""
        mark = (self.epoch, self._worker_processed, self.flushes_done)
        idle = self._fed - self._worker_processed < STALLED_SAMPLES and not (self.flushing or self._end_fed)
        if idle or self.ended or self._stall is None or self._stall[0] != mark:
            self._stall = (mark, now)
        return now - self._stall[1] >= STALLED_S

    def _on_a_chunk(self, position: int) -> int:
        """Chunks are counted from the last flush, or from where the worker began."""
        origins = (self._origin, *(at for at, _ in self._flushes))
        origin = max((at for at in origins if at <= position), default=position)
        return position - (position - origin) % self._chunk

    def _forget(self) -> None:
        # Nor what the worker has not been given: the one before may have been further.
        until = min(self._fed, self.replay_from if self._pinned is None else self._pinned)
        self._tape.forget_before(until)
        self._rests.forget_before(until)
        # One of them stays: chunks are counted from it.
        while (
            len(self._flushes) > 1
            and self._flushes[1][0] <= until
            and self._flushes[1][1] <= self.flushes_done
        ):
            self._flushes.popleft()

    # ---- from one gateway to the next, or to the same again

    @property
    def kept_bytes(self) -> int:
        return self._tape.size

    def tell(self, final: Transcript) -> None:
        """It is on its way to the client."""
        if not (final.words or final.speech_final):
            return  # nobody has spoken
        self._told.extend(word.text for word in final.words)
        self._told_until_ms = max(self._told_until_ms, final.end_ms)
        self._told_pause = final.speech_final

    def mark(self) -> LaneMark:
        """How far it is with what has been told."""
        start = self.replay_from
        if self._held_final is not None:
            start = min(start, max(0, self._told_until_ms * SAMPLE_RATE // 1000 - self._lead))
        return LaneMark(
            start_ms=start * 1000 // SAMPLE_RATE,
            told_ms=self._told_until_ms,
            processed=self._processed,
            input_ms=self.input_ms,
            # What is not handed over yet dies with this process.
            billed_ms=self.usage[0].from_ms if self.usage else self.billed_ms,
            paused=self._told_pause,
            skipped_ms=self.skipped_ms,
        )

    def restore(self, mark: LaneMark, start_ms: int, said: tuple[str, ...] = ()) -> None:
        """Of a new lane: go on after these words; the audio comes again from `start_ms` on."""
        start, self.input_ms = start_ms * SAMPLE_RATE // 1000, start_ms
        self._tape, self._rests = Tape(start), Rests(start)
        # What was done since it was last billed is billed now, and what nobody heard never is.
        done_ms = max(mark.billed_ms, processed_ms(mark.processed, mark.input_ms))
        if done_ms > mark.billed_ms:
            self.usage.append(UsageRange(self.name, mark.billed_ms, done_ms))
        self.billed_ms = max(done_ms, start_ms)
        self.skipped_ms = mark.skipped_ms + self.billed_ms - done_ms
        self._processed, self._confirmed = max(mark.processed, start), start
        self._said, self._told = (deque(said, REMEMBERED_WORDS) for _ in range(2))
        self._said_until_ms = self._told_until_ms = mark.told_ms
        self._paused = self._told_pause = mark.paused

    @property
    def resume_ms(self) -> int:
        """Until where all that the client sent is here."""
        return min(self.input_ms, self._tape.end * 1000 // SAMPLE_RATE)

    def revive(self, resume_ms: int) -> None:
        """Go on after an end that was none; the client sends from there on."""
        end, self.input_ms = resume_ms * SAMPLE_RATE // 1000, resume_ms
        self._tape.cut(end)
        self._held_back, self._abort = b"", None
        self._flushes = deque((min(at, end), token) for at, token in self._flushes)
        self.ending = self.ended = self._complete = False
        self._said, self._said_until_ms = self._told.copy(), self._told_until_ms
        self._paused, self._moves = self._told_pause, 0

    # ---- from the worker

    @property
    def processed_ms(self) -> int:
        return processed_ms(self._processed, self.input_ms, complete=self._complete)

    def progress(self, processed: int, confirmed: int = 0) -> None:
        # A worker cannot have processed what it was not sent; believing it would bill what was not there.
        processed = min(processed, self._tape.end)
        self._worker_processed = max(self._worker_processed, processed)
        self._processed = max(self._processed, processed)
        self._confirmed = max(self._confirmed, min(confirmed, processed))
        if self._paused:
            self._rests.note(self._confirmed, self._said_until_ms * SAMPLE_RATE // 1000)
        self._forget()

    def complete(self, item: Ended) -> None:
        """The worker has ended the stream."""
        self.progress(item.processed)
        self._complete = self.ending and self._processed >= self._tape.end

    def bill(self, *, at_least_ms: int = 1) -> None:
        if (to_ms := self.processed_ms) - self.billed_ms >= at_least_ms:
            self.usage.append(UsageRange(self.name, self.billed_ms, to_ms))
            self.billed_ms = to_ms

    def partial(self, item: Partial) -> Partial | None:
        """What there is to say of it."""
        if self.catching_up:
            return None
        words = self._unsaid(item.words)
        if words == item.words:
            return item
        return msgspec.structs.replace(item, words=words, start_ms=words[0].start_ms) if words else None

    def final(self, item: Final) -> list[Transcript]:
        """The finals that may be said now. The last one before `Flushed` is the one to be marked, so until
        that is known one is held back."""
        if item.index != self._next_index:
            raise OutOfOrder
        self._next_index += 1
        words, start_ms, end_ms = self._unsaid(item.words), item.start_ms, item.end_ms
        if self._rejoin is not None:
            self._rejoin.remember(item.words)
            said = not words and (item.words or end_ms <= self._said_until_ms)
            # That the speaker paused after it may not have been said.
            pauses = item.speech_final and not self._paused and self._rejoin.reached_by(end_ms)
            if said and not pauses:
                return []
            if len(words) < len(item.words) or start_ms < self._said_until_ms:
                start_ms = words[0].start_ms if words else max(end_ms, self._said_until_ms)
                end_ms = max(start_ms, end_ms)
            if self._rejoin.passed_by(item.start_ms):
                self._rejoin = None
        due = self.release()
        self._held_final = Transcript(
            seq=0,  # the session's to give
            words=words,
            start_ms=start_ms,
            end_ms=end_ms,
            is_final=True,
            speech_final=item.speech_final,
            channel=self.channel,
        )
        self._said.extend(word.text for word in words)
        self._said_until_ms = max(self._said_until_ms, end_ms)
        self._paused = item.speech_final
        return due + self.release() if self.flushes_done == self.flushes_asked else due

    def _unsaid(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        return words if self._rejoin is None else self._rejoin.new_in(words)

    def flushed(self, item: Flushed) -> list[Transcript]:
        if not self.flushes_done < item.token <= self.flushes_asked:
            return []
        self.flushes_done = item.token
        self._forget()
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
