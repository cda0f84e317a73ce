"""Who is compared in the engine benchmark, each behind the same three calls. Needs torch and NeMo.

All of them hear the same chunks: `open` some streams, `step` with one chunk of each, `close` with what is
left of each, which gives the transcripts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference_worker.engines.base import Hypothesis, Row, StepResult
from inference_worker.engines.nemo import engine
from inference_worker.engines.nemo.graphs import Capture, on_cuda
from inference_worker.engines.nemo.loading import load
from inference_worker.engines.nemo.recogniser import Chunk, Recogniser
from tests import nemo_pipeline
from wire.messages import SAMPLE_RATE, StreamOptions

Block = NDArray[np.float32]  # [streams, samples]

# After as much silence each ends an utterance: NeMo counts blanks, we ask a detector of speech, too.
NEMO_PAUSE_MS = 800


class Contender(Protocol):
    chunk_samples: int

    def open(self, streams: int) -> None: ...

    def step(self, block: Block) -> None: ...

    def close(self, block: Block) -> list[str]: ...


class Ours:
    """The engine as the worker's loop drives it: detector, endpointing, words, partials and finals too."""

    def __init__(self, model: Path, right: int, slots: int, device: str) -> None:
        self._now = 0.0  # partials are said by the clock; this one runs as fast as the audio
        loaded = load(str(model), right, "float32", device)
        self._engine = engine.create(
            loaded,
            slots,
            threads=torch.get_num_threads(),
            capture=_capture(device),
            clock=lambda: self._now,
        )
        self._engine.warm_up()
        self.chunk_samples = self._engine.info.chunk_samples
        self._texts: list[list[str]] = []

    def open(self, streams: int) -> None:
        self._texts = [[] for _ in range(streams)]
        for slot in range(streams):
            self._engine.open(slot, StreamOptions(interim_results=True), 0)

    def step(self, block: Block) -> None:
        self._now += self.chunk_samples / SAMPLE_RATE
        self._keep(self._engine.step([Row(slot, samples) for slot, samples in enumerate(block)]))

    def close(self, block: Block) -> list[str]:
        self._keep(self._engine.step([Row(slot, samples, last=True) for slot, samples in enumerate(block)]))
        for slot in range(len(block)):
            self._engine.close(slot)
        return [" ".join(texts) for texts in self._texts]

    def _keep(self, result: StepResult) -> None:
        if result.failed:
            raise RuntimeError(f"our engine failed streams: {sorted(set(result.failed.values()))}")
        for output in result.outputs:
            self._texts[output.slot] += _final_words(output.hypotheses)


class OursWithoutEndpointing:
    """The recogniser alone, from samples to tokens: no detector of speech, no endpointing, no words."""

    def __init__(self, model: Path, right: int, slots: int, device: str) -> None:
        loaded = load(str(model), right, "float32", device)
        self._recogniser = Recogniser(loaded, slots, slots, capture=_capture(device))
        self._recogniser._detector = NoDetector()  # type: ignore[assignment]
        self._recogniser.warm_up()
        self.chunk_samples = self._recogniser.chunk_samples
        self._to_text: Callable[[list[int]], str] = loaded.model.tokenizer.ids_to_text
        self._ids: list[list[int]] = []

    def open(self, streams: int) -> None:
        self._ids = [[] for _ in range(streams)]
        for slot in range(streams):
            self._recogniser.open(slot)

    def step(self, block: Block) -> None:
        heard = self._recogniser.step([Chunk(slot, samples) for slot, samples in enumerate(block)])
        for ids, sound in zip(self._ids, heard, strict=True):
            ids += sound.tokens.ids

    def close(self, block: Block) -> list[str]:
        self.step(block)
        return [self._to_text(ids) for ids in self._ids]


class NoDetector:
    """In the place of the detector of speech: it looks at nothing and has nothing to say."""

    def open(self, slots: Tensor) -> None:
        pass

    def step(self, writes: object, samples: Tensor, sent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        nothing = torch.zeros(len(samples), 0, device=samples.device)
        return nothing.sum(1), nothing, nothing


class NeMo:
    """NeMo's pipeline, with its endpointing and the text of words, as one would serve it."""

    def __init__(self, model: Path, right: int, slots: int, device: str) -> None:
        self._pipeline = nemo_pipeline.make(
            model, right, slots, device=device, pause_ms=NEMO_PAUSE_MS, cuda_graphs=device == "cuda"
        )
        self.chunk_samples = self._pipeline.chunk_samples
        self._first = True
        self._texts: list[list[str]] = []

    def open(self, streams: int) -> None:
        self._first = True
        self._texts = [[] for _ in range(streams)]

    def step(self, block: Block) -> None:
        self._step(block, last=False)

    def close(self, block: Block) -> list[str]:
        self._step(block, last=True)
        return [" ".join(texts) for texts in self._texts]

    def _step(self, block: Block, *, last: bool) -> None:
        heard = self._pipeline.step(
            [
                nemo_pipeline.Piece(stream, samples, first=self._first, last=last)
                for stream, samples in enumerate(block)
            ]
        )
        self._first = False
        for texts, one in zip(self._texts, heard, strict=True):
            texts += [word.text for word in one.words]


CONTENDERS: dict[str, Callable[[Path, int, int, str], Contender]] = {
    "ours": Ours,
    "nemo": NeMo,
    "recogniser": OursWithoutEndpointing,
}


def _capture(device: str) -> Capture | None:
    return on_cuda() if device == "cuda" else None


def _final_words(hypotheses: tuple[Hypothesis, ...]) -> list[str]:
    return [word.text for one in hypotheses if one.is_final for word in one.words]
