"""NeMo's label-looping greedy decoder, called with its batched state as it is, which lies in an arena of slots."""

from __future__ import annotations

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


class Decoder:
    def __init__(self, computer: Any, slots: int, encoded: Tensor) -> None:
        """`encoded` is anything of the encoder's shape [1, T, D]."""
        self._computer = computer
        with torch.inference_mode():
            # Of no frames, a decoder says nothing and gives the state that it begins with.
            _, first = computer(x=encoded, out_len=torch.zeros(1, dtype=torch.long, device=encoded.device))
        hidden, cell = first.predictor_states
        fusion = first.fusion_states_list
        # The batch is the second dimension of the LSTM's states, the first of all others.
        self._first = [hidden.transpose(0, 1), cell.transpose(0, 1), first.predictor_outputs, first.labels,
                       torch.zeros_like(first.decoded_lengths), *fusion]  # fmt: skip
        self._arena = [one.expand(slots, *one.shape[1:]).clone() for one in self._first]
        self._state = type(first)

    def open(self, slots: Tensor) -> None:
        for kept, first in zip(self._arena, self._first, strict=True):
            kept[slots] = first

    def step(self, writes: Writes, encoded: Tensor, lengths: Tensor) -> list[Tokens]:
        hidden, cell, outputs, labels, decoded, *fusion = (kept[writes.slots] for kept in self._arena)
        before = self._state(
            predictor_states=(hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous()),
            predictor_outputs=outputs,
            labels=labels,
            decoded_lengths=decoded,
            fusion_states_list=fusion,
        )
        heard, after = self._computer(x=encoded, out_len=lengths, prev_batched_state=before)
        rows = len(writes.slots)  # a graph's state is as large as the batch it was captured with
        hidden, cell = (one[:, :rows].transpose(0, 1) for one in after.predictor_states)
        states = [hidden, cell, after.predictor_outputs, after.labels, after.decoded_lengths]
        for kept, new in zip(self._arena, [*states, *after.fusion_states_list], strict=True):
            writes.later(kept, new[:rows])
        return _to_host(heard, rows)


def _to_host(heard: Any, rows: int) -> list[Tokens]:
    """In one copy."""
    counts, ids, frames, _, confidences = heard.get_data_without_blank()
    most = ids.shape[1]
    if confidences is None:
        confidences = torch.zeros_like(ids)
    parts = [counts[:, None], ids, frames, confidences]
    found = torch.cat([part[:rows].to(torch.float64) for part in parts], 1).cpu().tolist()
    told = []
    for row in found:
        count = int(row[0])
        tokens, times, sure = (row[1 + i * most : 1 + i * most + count] for i in range(3))
        told.append(Tokens([int(token) for token in tokens], [int(time) for time in times], sure))
    return told
