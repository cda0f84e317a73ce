"""What a step will say of one slot, for engines that make utterances by an `Endpointer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from inference_worker.engines.base import Hypothesis, Output
from wire.messages import SAMPLE_RATE


def milliseconds(position: int) -> int:
    return position * 1000 // SAMPLE_RATE


@dataclass
class Report:
    hypotheses: list[Hypothesis] = field(default_factory=list)
    speech_started_ms: int | None = None
    flushed: bool = False

    def output(self, slot: int, processed: int, confirmed: int, heard_until: int | None) -> Output:
        """`heard_until`: see `Endpointer`; while an utterance is open, speech goes on to where we are."""
        return Output(
            slot=slot,
            processed=processed,
            confirmed=confirmed,
            hypotheses=tuple(self.hypotheses),
            speech_started_ms=self.speech_started_ms,
            flushed=self.flushed,
            speech_end=processed if heard_until is None else min(heard_until, processed),
        )
