"""Driving an engine as the loop does, without the loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from inference_worker.engines.base import Engine, Hypothesis, Output, Row, Samples
from wire.messages import StreamOptions

NOTHING = np.zeros(0, np.float32)


@dataclass
class Heard:
    """All that an engine said about one stream."""

    outputs: list[Output] = field(default_factory=list)

    @property
    def hypotheses(self) -> list[Hypothesis]:
        return [hypothesis for output in self.outputs for hypothesis in output.hypotheses]

    @property
    def finals(self) -> list[Hypothesis]:
        return [hypothesis for hypothesis in self.hypotheses if hypothesis.is_final]

    @property
    def partials(self) -> list[Hypothesis]:
        return [hypothesis for hypothesis in self.hypotheses if not hypothesis.is_final]

    @property
    def text(self) -> str:
        return " ".join(word.text for final in self.finals for word in final.words)


def chunks(slot: int, samples: Samples, size: int) -> Iterator[Row]:
    """Whole chunks, then what is left with `last`."""
    whole = max(0, (len(samples) - 1) // size)
    for number in range(whole):
        yield Row(slot, samples[number * size : (number + 1) * size])
    yield Row(slot, samples[whole * size :], last=True)


def step(engine: Engine, rows: Sequence[Row], heard: dict[int, Heard]) -> None:
    result = engine.step(rows)
    assert not result.failed
    for output in result.outputs:
        heard.setdefault(output.slot, Heard()).outputs.append(output)


def settle(engine: Engine, heard: dict[int, Heard]) -> None:
    while engine.backlog:
        step(engine, [], heard)


def run(engine: Engine, rows: Iterable[Row], *, at_once: bool = False) -> Heard:
    """The rows of one stream, one a step. A flush is waited for, as the loop waits; or nothing is."""
    heard: dict[int, Heard] = {}
    slot = -1
    for row in rows:
        slot = row.slot
        step(engine, [row], heard)
        if row.flush and not at_once:
            settle(engine, heard)
    settle(engine, heard)
    return heard[slot]


def listen(engine: Engine, samples: Samples, *, slot: int = 0, start: int = 0, **options: object) -> Heard:
    """A whole stream."""
    engine.open(slot, StreamOptions(**options), start)  # type: ignore[arg-type]
    heard = run(engine, chunks(slot, samples, engine.info.chunk_samples))
    engine.close(slot)
    return heard
