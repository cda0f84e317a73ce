from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from inference_worker.engines.base import Memory  # noqa: E402
from inference_worker.engines.nemo import memory  # noqa: E402


def test_it_reads_what_the_allocator_counts() -> None:
    stats = {
        "allocated_bytes.all.current": 600,
        "allocated_bytes.all.peak": 700,
        "reserved_bytes.all.current": 800,
        "reserved_bytes.all.peak": 900,
        "num_alloc_retries": 2,
        "num_ooms": 1,
    }
    read = memory.of(stats)
    assert read == Memory(allocated=600, reserved=800, peak=700, retries=2, out_of_memory=1)
    assert read.fragmentation == 0.25


def test_an_allocator_that_has_nothing_yet_is_not_fragmented() -> None:
    assert memory.of({}).fragmentation == 0.0


def test_without_a_gpu_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert memory.read() is None
