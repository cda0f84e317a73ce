from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.benchmarks.memory import held_bytes


@dataclass
class Kept:
    one: np.ndarray
    others: dict[str, object]


@dataclass(slots=True)
class Slotted:
    kept: object


def test_everything_that_is_reached_counts_once() -> None:
    array = np.zeros(1000, np.float32)
    inside = Kept(array, {"same": array, "view": array[10:20], "list": [np.zeros(500, np.int8)]})
    assert held_bytes(Slotted(inside)) == 4500


def test_a_circle_ends() -> None:
    kept = Kept(np.zeros(10, np.int8), {})
    kept.others["again"] = kept
    assert held_bytes([kept, kept]) == 10


def test_what_is_no_memory_of_a_stream_is_nothing() -> None:
    assert held_bytes(["text", 1, None, np.float32, max]) == 0
