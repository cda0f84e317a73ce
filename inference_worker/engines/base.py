"""What an engine is. The loop knows this interface and nothing else of an engine.

The loop runs `step` in one thread, never two at once, so an engine needs no locks. A slot is a small
integer below `max_streams`; between `open` and `close` it belongs to one stream. Positions and milliseconds
count from the first sample of the stream, which may have begun on another worker: see `open`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from wire.messages import StreamOptions, Word

Samples: TypeAlias = NDArray[np.float32]


# More rows of recorded audio in a step would hold up the live ones beside them.
RECORDED_ROWS = 4
ENGINE_FAILED = "engine_failed"  # the code of a stream that the engine could not go on with


class EngineError(Exception):
    """The engine could not do a step."""


class EngineOutOfMemory(EngineError):
    """The device has no memory for a batch of this size; a smaller one may fit.

    A step that raises this has changed nothing: the same rows will be given again.
    """


class EngineStartError(EngineError):
    """The engine cannot start with this configuration."""


@dataclass(frozen=True)
class EngineInfo:
    name: str
    model: str
    version: str
    arch: str
    languages: tuple[str, ...]
    chunk_samples: int  # what `step` takes of a stream at a time
    max_streams: int
    max_batch: int
    bulk_chunks: int = 1  # so many of recorded audio may come in one row, where no live row is in the step
    recorded_rows: int = RECORDED_ROWS  # so many of them may ride in a step in any case
    buckets: tuple[int, ...] = ()  # ascending; a step is padded to the next of these; none: it is not padded
    # A step that raised has changed nothing, so its rows may be given again, in other batches.
    atomic: bool = False

    def recorded_beside(self, live: int) -> int:
        """How many rows of recorded audio may ride with so many live ones: all that would be padding, too."""
        return max(self.recorded_rows, self.bucket(live) - live)

    def bucket(self, rows: int) -> int:
        """How many rows the engine computes when it is given so many."""
        place = bisect_left(self.buckets, rows)
        return self.buckets[place] if place < len(self.buckets) else rows


class Row(msgspec.Struct, frozen=True):
    """One stream's share of a step: a chunk, or up to `bulk_chunks` of recorded audio. Whole chunks, but with
    `flush` or `last`; may then be empty."""

    slot: int
    samples: Samples
    flush: bool = False  # finish the utterance: everything heard so far becomes final
    last: bool = False  # no more audio will come; implies flush


@dataclass(frozen=True)
class Hypothesis:
    """What an utterance, or a part of one, sounds like."""

    words: tuple[Word, ...]
    start_ms: int
    end_ms: int
    is_final: bool
    speech_final: bool = False
    stability: float = 0.0


class Output(msgspec.Struct, frozen=True):
    """What a step has to say about one slot.

    `processed` and `confirmed` are positions and never go back; `speech_end` is one, too, and may (see
    `wire.messages.Progress`).
    `flushed` says that a flush asked for in this or an earlier step is complete, with all its finals in
    this or earlier outputs; a `last` row is answered with it too.
    """

    slot: int
    processed: int
    confirmed: int
    hypotheses: tuple[Hypothesis, ...] = ()
    speech_started_ms: int | None = None
    flushed: bool = False
    speech_end: int = 0


@dataclass(frozen=True)
class StepResult:
    outputs: Sequence[Output]
    # Streams that cannot go on, with the reason's code; the others are not affected.
    failed: dict[int, str] = field(default_factory=dict)


class Engine(Protocol):
    info: EngineInfo

    def warm_up(self) -> None:
        """Do what would make the first step slow. The worker is not ready before it returns, and calls it
        again, between steps, to see whether an engine that kept failing works again."""

    def open(self, slot: int, options: StreamOptions, start: int) -> None:
        """Give the slot to a stream whose next sample has the position `start`. Does not raise because of
        what a customer asked for: what raises counts as a failure of the engine."""

    def step(self, rows: Sequence[Row]) -> StepResult:
        """Take one chunk of each row's stream. Blocks. May be called with no rows to go on with `backlog`."""

    def close(self, slot: int) -> None:
        """Forget the slot, whatever state it is in."""

    @property
    def backlog(self) -> bool:
        """True while work is left from earlier steps, so `step` is to be called though no audio came."""

    def shut_down(self) -> None: ...


@dataclass(frozen=True)
class Memory:
    """What an engine's device says of its memory, in bytes; the counts are since the process began."""

    allocated: int
    reserved: int  # taken from the device, in use or not
    peak: int  # the most that was ever allocated
    retries: int  # allocations that worked only after unused memory was given back
    out_of_memory: int

    @property
    def fragmentation(self) -> float:
        """The part of what is reserved that is not in use."""
        return 1 - self.allocated / self.reserved if self.reserved else 0.0


@runtime_checkable
class MeasuresMemory(Protocol):
    """An engine may also have this. Called from another thread than the others, when somebody asks."""

    def memory(self) -> Memory | None:
        """None: its device does not say."""
