"""NeMo's own streaming pipeline on a `.nemo` file: what our engine's words and speed are compared with.

Needs torch and nemo_toolkit, which are imported when a pipeline is made and not before.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
NO_ENDPOINTING = -1  # every utterance ends with its stream

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Word:
    text: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True)
class Heard:
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True)
class Piece:
    """One stream's share of a step: a whole chunk, or with `last` what is left of it."""

    stream: int
    samples: Samples
    first: bool = False
    last: bool = False


@dataclass(frozen=True)
class Pipeline:
    """For at most `slots` streams at a time. A stream that is not to go on needs a `last` piece: there is no
    other way to get its slot back."""

    nemo: Any
    chunk_samples: int

    def step(self, pieces: Sequence[Piece]) -> list[Heard]:
        """One chunk of each of these streams, and the words of each that are final with it."""
        told = self.nemo.transcribe_step([self._frame(piece) for piece in pieces])
        return [Heard(tuple(_word(segment) for segment in one.final_segments)) for one in told]

    def transcribe(self, utterances: Sequence[Samples]) -> list[Heard]:
        """All of them at once, each as a stream of its own; the shorter ones leave the batch sooner."""
        size = self.chunk_samples
        words: list[list[Word]] = [[] for _ in utterances]
        for begin in range(0, max(map(len, utterances), default=0), size):
            pieces = [
                Piece(stream, audio[begin : begin + size], first=begin == 0, last=begin + size >= len(audio))
                for stream, audio in enumerate(utterances)
                if begin < len(audio)
            ]
            for piece, heard in zip(pieces, self.step(pieces), strict=True):
                words[piece.stream] += heard.words
        return [Heard(tuple(each)) for each in words]

    def _frame(self, piece: Piece) -> Any:
        import torch
        from nemo.collections.asr.inference.streaming.framing.request import Frame
        from nemo.collections.asr.inference.streaming.framing.request_options import ASRRequestOptions

        samples = np.zeros(self.chunk_samples, np.float32)
        samples[: len(piece.samples)] = piece.samples
        return Frame(
            torch.from_numpy(samples),
            stream_id=piece.stream,
            is_first=piece.first,
            is_last=piece.last,
            length=len(piece.samples),
            options=ASRRequestOptions() if piece.first else None,
        )


def make(
    model: str | Path,
    right: int,
    slots: int,
    *,
    left: int = 70,
    device: str = "cpu",
    dtype: str = "float32",
    pause_ms: int = NO_ENDPOINTING,
    cuda_graphs: bool = False,
) -> Pipeline:
    """`left` and `right` are the attention's context in frames; `pause_ms` of blanks end an utterance."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    logging.getLogger("nv_one_logger").setLevel(logging.ERROR)
    # NeMo and what it imports warn of much that is nothing to us.
    with warnings.catch_warnings(), _handlers_as_they_are():
        warnings.simplefilter("ignore")
        from nemo.collections.asr.inference.factory.pipeline_builder import PipelineBuilder
        from omegaconf import OmegaConf

        settings = _settings(str(model), [left, right], slots, device, dtype, pause_ms, cuda_graphs)
        nemo = PipelineBuilder.build_pipeline(OmegaConf.create(settings))
    _repair(nemo)
    nemo.open_session()
    return Pipeline(nemo, round(nemo.chunk_size_in_secs * SAMPLE_RATE))


@contextmanager
def _handlers_as_they_are() -> Iterator[None]:
    """With its own level NeMo sets that of every handler it finds, pytest's among them."""
    before = [(handler, handler.level) for handler in logging.getLogger("nemo_logger").handlers]
    try:
        yield
    finally:
        for handler, level in before:
            handler.setLevel(level)


def _repair(nemo: Any) -> None:
    """At context 0 its buffer is 0.09 + 0.08 s long, which are 16.999… frames to a float, and NeMo cuts that
    down to 16. A microsecond more makes it 17, and is nothing at the other contexts."""
    nemo.buffer_size_in_secs += 1e-6
    nemo.expected_feature_buffer_len = int(nemo.buffer_size_in_secs / nemo.window_stride)
    nemo.init_bufferer_for_cache_aware_streaming()


def _word(segment: Any) -> Word:
    return Word(segment.text.strip(), segment.start, segment.end, segment.conf)


def _settings(
    model: str, context: list[int], slots: int, device: str, dtype: str, pause_ms: int, cuda_graphs: bool
) -> dict[str, Any]:
    """As in NeMo's examples for this pipeline, with the confidence of words and their text as it is."""
    method = {"name": "max_prob", "alpha": 1.0}
    confidence = {"exclude_blank": True, "aggregation": "mean", "method_cfg": method}
    return {
        "pipeline_type": "cache_aware",
        "asr_decoding_type": "rnnt",
        "asr": {
            "model_name": model,
            "device": device,
            "device_id": 0,
            "compute_dtype": dtype,
            "use_amp": False,
            "decoding": {
                "strategy": "greedy_batch",
                "preserve_alignments": False,
                "fused_batch_size": -1,
                "greedy": {
                    "use_cuda_graph_decoder": cuda_graphs,
                    "max_symbols": 10,
                    "preserve_frame_confidence": True,
                    "enable_per_stream_biasing": False,
                },
                "confidence_cfg": {
                    **confidence,
                    "preserve_frame_confidence": True,
                    "preserve_token_confidence": False,
                    "preserve_word_confidence": False,
                },
            },
        },
        "streaming": {
            "sample_rate": SAMPLE_RATE,
            "batch_size": slots,
            "num_slots": slots,
            "att_context_size": context,
            "use_cache": True,
            "use_feat_cache": True,
            "request_type": "frame",
            "word_boundary_tolerance": 4,
            "chunk_size_in_secs": None,
        },
        "confidence": confidence,
        "endpointing": {"stop_history_eou": pause_ms, "residue_tokens_at_end": 0},
        "itn": {
            "batch_size": 32,
            "n_jobs": 1,
            "left_padding_size": 4,
            "input_case": "lower_cased",
            "whitelist": None,
            "overwrite_cache": False,
            "max_number_of_permutations_per_split": 729,
        },
        "enable_itn": False,
        "enable_nmt": False,
        "asr_output_granularity": "word",
        "return_tail_result": False,
        "lang": "en",
        "cache_dir": None,
        "matmul_precision": "high",
        "log_level": 40,
    }
