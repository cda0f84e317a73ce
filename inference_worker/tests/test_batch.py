from __future__ import annotations

import numpy as np
from structlog.testing import capture_logs

from inference_worker.batch import Batch, log_timings
from inference_worker.engines.base import Row
from inference_worker.streams import Stream
from wire.messages import StreamOptions


def stream(name: str, *, recorded: bool = False) -> Stream:
    options = StreamOptions(recorded=recorded)
    return Stream(id=name, epoch=1, gateway="g", tenant="acme", options=options, start=160)


def test_a_line_for_each_chunk_with_its_four_times_and_no_more() -> None:
    rows = [Row(slot, np.zeros(160, np.float32)) for slot in (0, 1)]
    batch = Batch(rows, [(stream("a"), 1.0), (stream("b"), 1.25)], began=1.5, done=1.75)
    with capture_logs() as lines:
        log_timings(batch, 2.0)
    shared = {"event": "chunk", "log_level": "info", "until_sample": 160, "rows": 2}
    times = {"t_batch_start": 1.5, "t_gpu_done": 1.75, "t_routed": 2.0}
    assert lines == [
        {**shared, **times, "stream": "a", "t_buffered": 1.0},
        {**shared, **times, "stream": "b", "t_buffered": 1.25},
    ]


def test_a_step_with_recorded_audio_is_not_all_live() -> None:
    assert Batch([], [(stream("a"), 0.0)]).all_live
    assert not Batch([], [(stream("a"), 0.0), (stream("b", recorded=True), 0.0)]).all_live
