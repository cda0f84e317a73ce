"""What the nemo engine knows of the stream in one slot: its audio by position, its words, its pauses."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

import numpy as np

from inference_worker.engines.base import Hypothesis, Output, Samples
from inference_worker.engines.endpointing import LONGEST, Endpointer, Piece, pause_samples
from inference_worker.engines.nemo.decoder import Tokens
from inference_worker.engines.nemo.recogniser import Chunk, Sound
from inference_worker.engines.nemo.words import Spoken, Vocabulary, Writer
from inference_worker.engines.partials import Partials
from inference_worker.engines.report import Report, milliseconds
from inference_worker.engines.silero import WINDOW
from wire.messages import SAMPLE_RATE, StreamOptions, Word

# So long without words after some, and the utterance has ended, whatever the detector hears: noise, music. Or
# as long as the customer's pause, where that is longer.
NO_WORDS_FOR = SAMPLE_RATE * 800 // 1000


@dataclass(frozen=True)
class Grid:
    """How the model sees time."""

    chunk: int  # samples of a chunk
    frame: int  # samples of one of its frames


class Listener:
    def __init__(
        self, slot: int, options: StreamOptions, start: int, vocabulary: Vocabulary, grid: Grid, now: float
    ) -> None:
        self.slot, self.options = slot, options
        self._start, self._end, self._grid = start, start, grid
        self._writer = Writer(vocabulary)
        pause = pause_samples(options.endpointing_ms)
        self._endpointer = Endpointer(pause, start)
        self._no_words_for = max(NO_WORDS_FOR, pause or 0)
        self._partials = Partials(now, repeat_now_s=max(0.0, 0.29 - grid.chunk / SAMPLE_RATE))
        # After a flush the model has heard silence that nobody sent: from which frame on, and how much in
        # all. A flush leaves no words behind, so nothing older than the last is asked for.
        self._silences: deque[tuple[int, int]] = deque([(0, 0)], maxlen=2)
        self._frames = 0
        self._last_token = start
        self._said_until = start  # where the last final ended
        self._confirmed = start
        self._spoke = False
        self._ended_in_noise = False  # so the next words are the start of speech, which the detector hears on
        self._unsaid = False  # there are words that no partial has had
        self._in_pause = False
        self._report = Report()

    # ---- what comes in

    def chunk(self, samples: Samples, *, flush: bool, last: bool) -> Chunk:
        """What the model is to hear of up to a chunk. Before the end of the stream that is a whole one."""
        missing = self._grid.chunk - len(samples)
        if missing and flush and not last:
            padded = np.concatenate([samples, np.zeros(missing, np.float32)])
            return Chunk(self.slot, padded, sent=len(samples))
        return Chunk(self.slot, samples)

    def take(self, chunk: Chunk, sound: Sound) -> None:
        """The chunk has been heard."""
        sent = len(chunk.samples) if chunk.sent is None else chunk.sent
        self._end += sent
        self._frames += self._grid.chunk // self._grid.frame
        tokens, taken = sound.tokens, 0
        if any(math.isnan(sure) for sure in tokens.confidences):
            raise ArithmeticError("the model's numbers are not numbers any more")
        for probability, level in sound.speech:
            # A long chunk may hold the end of one utterance and the beginning of the next.
            until = self._frame(self._endpointer.position + WINDOW)
            first, taken = taken, bisect_left(tokens.frames, until, taken)
            self._hear(tokens, first, taken)
            self._judge(probability, level)
        self._hear(tokens, taken, len(tokens.ids))
        if sent < len(chunk.samples):
            self._silences.append((self._frames, self._silences[-1][1] + len(chunk.samples) - sent))

    def _hear(self, tokens: Tokens, first: int, last: int) -> None:
        if first == last:
            return
        frames = tokens.frames[first:last]
        if self._ended_in_noise:
            self._ended_in_noise = False
            self._report.speech_started_ms = milliseconds(min(self._position(frames[0]), self._end))
        self._writer.hear(tokens.ids[first:last], frames, tokens.confidences[first:last])
        self._unsaid = True
        self._last_token = self._position(frames[-1] + 1)

    def _judge(self, probability: float, level: float) -> None:
        pieces, started = self._endpointer.feed(self._endpointer.position + WINDOW, probability, level)
        if started is not None:
            self._ended_in_noise = False
            self._report.speech_started_ms = milliseconds(started)
        for piece in pieces:
            self._finish(piece)
        if self._writer.has_words:
            self._end_without_the_detector()

    def _end_without_the_detector(self) -> None:
        """The model hears no more words in what is taken for speech, or words in what is not."""
        here = self._endpointer.position
        wordless = here - max(self._last_token, self._said_until) >= self._no_words_for
        if self._endpointer.speaking and wordless:
            self._ended_in_noise = self.options.endpointing_ms != 0
            for piece in self._endpointer.flush(here):
                self._finish(piece, ended=self._ended_in_noise, everything=True)
        elif self._endpointer.begin is None and (wordless or here - self._said_until >= LONGEST):
            ended = wordless and self.options.endpointing_ms != 0
            self._finish(Piece(self._said_until, here, ended, ()))

    def flush(self, *, last: bool) -> None:
        for piece in self._endpointer.flush(self._end, last=last):
            self._finish(piece, everything=True)
        if self._writer.has_words:  # of what the detector did not take for speech
            self._finish(Piece(self._said_until, self._end, last, ()))
        self._report.flushed = True

    # ---- what goes out

    def output(self, now: float) -> Output:
        report, self._report = self._report, Report()
        for final in report.hypotheses:
            self._partials.final_said(final.end_ms, now)
        if self.options.interim_results and not self.options.recorded and (partial := self._partial(now)):
            report.hypotheses.append(partial)
        needed = self._endpointer.needed_from
        if self._writer.has_words:
            needed = min(needed, self._said_until)
        self._confirmed = max(self._confirmed, min(needed, self._end))
        return report.output(self.slot, self._end, self._confirmed, self._endpointer.heard_until)

    def _partial(self, now: float) -> Hypothesis | None:
        speaking = self._endpointer.speaking
        if (self._unsaid or speaking is self._in_pause) and (spoken := self._writer.so_far()):
            words = self._words(spoken, self._end)
            begin = max(milliseconds(self._said_until), min(words[0].start_ms, milliseconds(self._end)))
            self._partials.hear(words, begin, milliseconds(self._end), in_pause=not speaking)
        self._unsaid, self._in_pause = False, not speaking
        heard = milliseconds(self._endpointer.position)
        return self._partials.say(now, heard, speaking=speaking, final_due=False, again_soon=False)

    def _finish(self, piece: Piece, *, ended: bool | None = None, everything: bool = False) -> None:
        """`everything`: the word, too, in which somebody may be at the moment."""
        ended = piece.speech_final if ended is None else ended
        self._spoke = self._spoke or piece.worth_hearing
        everything = everything or ended or not self._endpointer.speaking
        spoken = self._writer.finish() if everything else self._writer.finish(before=self._frame(piece.end))
        end = max(piece.end, self._said_until)
        words = self._words(spoken, self._end)
        if words or (ended and self._spoke):
            if words:
                end = max(end, min(self._end, -(-words[-1].end_ms * SAMPLE_RATE // 1000)))
            first = words[0].start_ms if words else milliseconds(end)
            begin = max(milliseconds(self._said_until), min(milliseconds(piece.begin), first))
            self._report.hypotheses.append(
                Hypothesis(words, begin, milliseconds(end), is_final=True, speech_final=ended)
            )
            self._said_until = end
            self._partials.next_piece()
            self._unsaid = self._writer.has_words
        self._spoke = self._spoke and not ended

    def _words(self, spoken: list[Spoken], end: int) -> tuple[Word, ...]:
        """With times that never go back, inside the audio that came."""
        words, before = [], milliseconds(self._said_until)
        for one in spoken:
            begin = min(max(milliseconds(self._position(one.start)), before), milliseconds(end))
            until = min(max(milliseconds(self._position(one.end)), begin), milliseconds(end))
            words.append(Word(one.text, begin, until, min(1.0, max(one.confidence, 1e-4))))
            before = until
        return tuple(words)

    def _position(self, frame: int) -> int:
        silence = next(samples for first, samples in reversed(self._silences) if first <= frame)
        return self._start + frame * self._grid.frame - silence

    def _frame(self, position: int) -> int:
        return (position - self._start + self._silences[-1][1]) // self._grid.frame
