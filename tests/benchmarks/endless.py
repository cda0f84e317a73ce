"""Synthesised speech over and over, as many streams at once as are wanted, each at another place in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests import spoken

# Streams do not say the same at the same time.
APART = 37_619


class Audio:
    def __init__(self, chunk_samples: int) -> None:
        self._chunk = chunk_samples
        self._samples = spoken.recording()

    def block(self, step: int, streams: int) -> NDArray[np.float32]:
        """[streams, chunk]: what each of them says in this step, counted from 0."""
        begins = step * self._chunk + np.arange(streams)[:, None] * APART
        places = begins + np.arange(self._chunk)[None]
        return np.asarray(self._samples[places % len(self._samples)])
