"""Whether our step says what NeMo's modules say when they are called one after the other, in fp32; and how
far the dtype that is served moves that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inference_worker.engines.nemo.loading import Loaded
from inference_worker.engines.nemo.recogniser import Chunk, Recogniser
from tests.benchmarks.gpu.eager import Eager

# A score may be so close to another that the order of additions decides. A step that is wrong is far below.
SAME, EQUAL = 0.97, 0.9

Said = list[tuple[int, int, float]]  # of a stream: token, frame, confidence


class Wrong(Exception):
    """Our step and NeMo's modules do not say the same."""


def reference(loaded: Loaded, audio: NDArray[np.float32]) -> list[Said]:
    """What NeMo's modules say of [streams, samples]."""
    eager = Eager(loaded, len(audio))
    said: list[Said] = [[] for _ in audio]
    with exact():
        for chunk in _chunks(audio, eager.chunk_samples):
            for stream, tokens in zip(said, eager.step(chunk), strict=True):
                stream += tokens
    return said


def ours(loaded: Loaded, audio: NDArray[np.float32]) -> list[Said]:
    """Of the same, with never quite everybody in a step, and some rows in another order."""
    dice = np.random.default_rng(0)
    recogniser = Recogniser(loaded, len(audio), len(audio))
    size = recogniser.chunk_samples
    said: list[Said] = [[] for _ in audio]
    places = [0] * len(audio)
    with exact():
        recogniser.warm_up()
        for stream in range(len(audio)):
            recogniser.open(stream)
        while waiting := [stream for stream, place in enumerate(places) if place + size <= audio.shape[1]]:
            riders = [int(stream) for stream in dice.permutation(waiting) if dice.random() < 0.9]
            if not riders:
                continue
            parts = [audio[stream, places[stream] : places[stream] + size] for stream in riders]
            chunks = [Chunk(*row) for row in zip(riders, parts, strict=True)]
            for stream, sound in zip(riders, recogniser.step(chunks), strict=True):
                heard = sound.tokens
                said[stream] += list(zip(heard.ids, heard.frames, heard.confidences, strict=True))
                places[stream] += size
    return said


def compare(first: Sequence[Said], second: Sequence[Said]) -> dict[str, Any]:
    """The share of tokens that both say, of all that either says: as they are, and by their frames alone.
    What this network says depends on what it said last, so after one difference its tokens are others."""
    pairs = list(zip(first, second, strict=True))
    equal = [(one, other) for one, other in pairs if _tokens(one) == _tokens(other)]
    apart = [abs(a - b) for one, other in equal for (_, _, a), (_, _, b) in zip(one, other, strict=True)]
    return {
        "tokens": [sum(map(len, first)), sum(map(len, second))],
        "same": _share((_tokens(one), _tokens(other)) for one, other in pairs),
        "same_frames": _share(([f for _, f, _ in one], [f for _, f, _ in other]) for one, other in pairs),
        "streams_equal": len(equal),
        "streams": len(pairs),
        "confidence_apart": round(max(apart, default=0.0), 5),
    }


def _share(pairs: Iterable[tuple[Sequence[Hashable], Sequence[Hashable]]]) -> float:
    both = either = 0
    for one, other in pairs:
        both += (Counter(one) & Counter(other)).total()
        either += (Counter(one) | Counter(other)).total()
    return round(both / either, 5) if either else 0.0


def check(found: dict[str, Any]) -> None:
    equal = found["streams_equal"] / found["streams"]
    if found["same_frames"] < SAME or equal < EQUAL:
        raise Wrong(
            f"{100 * found['same_frames']:.1f} % of the tokens that either says are of both, and at least "
            f"{100 * SAME:.0f} % must be; {100 * equal:.0f} % of the streams are equal, "
            f"and {100 * EQUAL:.0f} % must be"
        )


@contextmanager
def exact() -> Iterator[None]:
    """Without TF32, which is no fp32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def _tokens(said: Said) -> list[tuple[int, int]]:
    return [(token, frame) for token, frame, _ in said]


def _chunks(audio: NDArray[np.float32], size: int) -> Iterator[NDArray[np.float32]]:
    for begin in range(0, audio.shape[1] - size + 1, size):
        yield audio[:, begin : begin + size]
