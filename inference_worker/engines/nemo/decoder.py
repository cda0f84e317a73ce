"""NeMo's label-looping greedy decoder, called with its batched state as it is, which lies in an arena."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from inference_worker.engines.nemo.writes import Writes


@dataclass(frozen=True)
class Tokens:
    """What was decoded of one row: ids, the encoder's frames they began in, counted from the first of the
    stream, and how sure the model was."""

    ids: list[int]
    frames: list[int]
    confidences: list[float]


def keep_small(computer: Any, frames: int) -> None:
    """On a GPU NeMo makes room for the tokens of 375 frames, and hands all of it out in every step."""
    computer.INITIAL_MAX_TIME = frames


class Decoder:
    def __init__(self, computer: Any, biased: Callable[[], Any], slots: int, encoded: Tensor) -> None:
        """`biased` makes a computer that heeds phrases, when there first are any. `encoded` is anything of
        the encoder's shape [1, T, D]."""
        self._computer, self._biased = computer, biased
        with torch.inference_mode():
            # Of no frames, a decoder says nothing and gives the state that it begins with.
            _, first = computer(x=encoded, out_len=torch.zeros(1, dtype=torch.long, device=encoded.device))
        hidden, cell = first.predictor_states
        none = torch.zeros_like(first.decoded_lengths)
        # The batch is the second dimension of the LSTM's states, the first of all others. The last is where
        # in the tree of its phrases a stream is, which the computer without phrases knows nothing of.
        self._first = [
            hidden.transpose(0, 1), cell.transpose(0, 1), first.predictor_outputs, first.labels, none, none
        ]  # fmt: skip
        self._arena = [one.expand(slots, *one.shape[1:]).clone() for one in self._first]
        self._state = type(first)

    def open(self, slots: Tensor) -> None:
        for kept, first in zip(self._arena, self._first, strict=True):
            kept[slots] = first

    def step(self, writes: Writes, encoded: Tensor, lengths: Tensor, phrases: Tensor | None) -> Tensor:
        """[B, 1 + 3 n]: how many tokens, then their ids, frames and confidences. `phrases`: whose each row
        heeds; none of the rows has any where it is None."""
        hidden, cell, outputs, labels, decoded, place = (
            kept.index_select(0, writes.slots) for kept in self._arena
        )
        before = self._state(
            predictor_states=(hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous()),
            predictor_outputs=outputs,
            labels=labels,
            decoded_lengths=decoded,
            fusion_states_list=[] if phrases is None else [place],
        )
        computer = self._computer if phrases is None else self._biased()
        heard, after = computer(
            x=encoded, out_len=lengths, prev_batched_state=before, multi_biasing_ids=phrases
        )
        rows = len(writes.slots)  # a graph's state is as large as the batch it was captured with
        hidden, cell = (one[:, :rows].transpose(0, 1) for one in after.predictor_states)
        states = [hidden, cell, after.predictor_outputs, after.labels, after.decoded_lengths]
        states += [] if phrases is None else after.fusion_states_list
        for kept, new in zip(self._arena, states, strict=False):
            writes.later(kept, new[:rows])
        counts, ids, frames, _, confidences = heard.get_data_without_blank()
        parts = [counts[:, None], ids, frames, confidences]
        # Frames of days fit into a float exactly, and so it is one tensor.
        return torch.cat([part[:rows].float() for part in parts], 1)


def read(rows: Sequence[Sequence[float]]) -> list[Tokens]:
    """What `Decoder.step` said, from the host's copy of it."""
    told = []
    for row in rows:
        count, most = int(row[0]), (len(row) - 1) // 3
        if not count:
            told.append(NOTHING)
            continue
        ids, frames, sure = (row[1 + i * most : 1 + i * most + count] for i in range(3))
        told.append(Tokens([int(one) for one in ids], [int(one) for one in frames], list(sure)))
    return told


NOTHING = Tokens([], [], [])
