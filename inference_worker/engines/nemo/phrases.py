"""Key terms: phrases that a stream's decoder prefers among what it may have heard.

NeMo's trees of phrases, one for each set of phrases that some stream asked for. They choose between words
that sound alike; they make no word out of silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from inference_worker.engines.nemo.decoder import keep_small

# As NeMo has them for RNNT.
CONTEXT_SCORE, DEPTH_SCALING, STRENGTH = 1.0, 2.0, 1.0


@dataclass
class _Tree:
    number: int
    streams: int


class Phrases:
    def __init__(self, model: Any, frames: int) -> None:
        """`frames` are the encoder's in a chunk."""
        self._model, self._frames = model, frames
        self._computer: Any = None
        self._trees: dict[frozenset[str], _Tree] = {}
        self._of: dict[int, frozenset[str]] = {}  # a slot's

    @property
    def any(self) -> bool:
        return bool(self._of)

    def number(self, slot: int) -> int:
        """What the decoder calls the slot's phrases; -1 where it has none."""
        phrases = self._of.get(slot)
        return -1 if phrases is None else self._trees[phrases].number

    def open(self, slot: int, wanted: Iterable[str]) -> None:
        self.close(slot)
        phrases = frozenset(self._usable(wanted))
        if not phrases:
            return
        if phrases not in self._trees:
            self._trees[phrases] = _Tree(self._grow(phrases), 0)
        self._trees[phrases].streams += 1
        self._of[slot] = phrases

    def close(self, slot: int) -> None:
        phrases = self._of.pop(slot, None)
        if phrases is None:
            return
        tree = self._trees[phrases]
        tree.streams -= 1
        if not tree.streams:
            del self._trees[phrases]
            self.computer().biasing_multi_model.remove_model(tree.number)

    def computer(self) -> Any:
        """The decoder that heeds phrases, with the weights of the other, which is faster."""
        if self._computer is None:
            self._computer = _computer(self._model)
            keep_small(self._computer, self._frames)
        return self._computer

    def _usable(self, wanted: Iterable[str]) -> Iterable[str]:
        """As the customer writes them and in lower case, as far as the model can write them at all."""
        tokenizer = self._model.tokenizer
        for phrase in wanted:
            for form in (phrase.strip(), phrase.strip().lower()):
                ids = tokenizer.text_to_ids(form) if form else []
                if ids and tokenizer.tokenizer.unk_id() not in ids:
                    yield form

    def _grow(self, phrases: frozenset[str]) -> int:
        from nemo.collections.asr.parts.context_biasing.boosting_graph_batched import (
            BoostingTreeModelConfig,
            GPUBoostingTreeModel,
        )

        settings = BoostingTreeModelConfig(
            key_phrases_list=sorted(phrases), context_score=CONTEXT_SCORE, depth_scaling=DEPTH_SCALING
        )
        tree = GPUBoostingTreeModel.from_config(settings, tokenizer=self._model.tokenizer)
        return int(self.computer().biasing_multi_model.add_model(tree, STRENGTH))


def _computer(model: Any) -> Any:
    from nemo.collections.asr.parts.submodules.transducer_decoding.rnnt_label_looping import (
        GreedyBatchedRNNTLabelLoopingComputer,
    )

    plain = model.decoding.decoding.decoding_computer
    return GreedyBatchedRNNTLabelLoopingComputer(
        decoder=plain.decoder,
        joint=plain.joint,
        blank_index=plain._blank_index,
        max_symbols_per_step=plain.max_symbols,
        preserve_alignments=False,
        preserve_step_confidence=True,
        exclude_blank_from_confidence=True,
        confidence_method_cfg=model.cfg.decoding.confidence_cfg.method_cfg,
        allow_cuda_graphs=model.device.type == "cuda",
        enable_per_stream_biasing=True,
    )
