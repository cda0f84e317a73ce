from __future__ import annotations

import time

from inference_worker.engines.base import EngineInfo, Memory
from inference_worker.telemetry import Telemetry


def test_the_page_has_what_was_counted_and_two_workers_do_not_share_it() -> None:
    one, other = Telemetry(), Telemetry()
    one.stepped(3, 4, 0.02)
    one.stepped(3, 4, 5.0, live=False)
    one.queued([0.01, 0.02])
    one.answered([0.05])
    one.refused.labels("no_capacity").inc()
    page = one.page().decode()
    assert 'worker_step_rows_bucket{le="2.0"} 0.0' in page
    assert 'worker_step_rows_bucket{le="4.0"} 2.0' in page
    assert "worker_bucket_rows_sum 8.0" in page
    assert "worker_queue_seconds_count 2.0" in page
    assert 'worker_streams_refused_total{code="no_capacity"} 1.0' in page
    assert 'worker_step_rows_bucket{le="4.0"} 0.0' in other.page().decode()
    assert one.recent_steps.p95_ms() == 20.0


def test_times_are_counted_around_the_length_of_a_chunk() -> None:
    for chunk_s in (0.08, 0.16, 0.56):
        page = Telemetry(chunk_s).page().decode()
        assert f'worker_chunk_to_result_seconds_bucket{{le="{chunk_s}"}}' in page
        assert f'worker_queue_seconds_bucket{{le="{chunk_s / 2}"}}' in page


def test_the_gpu_s_memory_is_asked_for_when_the_page_is_read() -> None:
    telemetry = Telemetry()
    said = [Memory(600, 800, 700, 2, 1), None]
    telemetry.watch_memory(lambda: said[0])
    page = telemetry.page().decode()
    for line in (
        "worker_vram_allocated_bytes 600.0",
        "worker_vram_reserved_bytes 800.0",
        "worker_vram_peak_bytes 700.0",
        "worker_vram_fragmentation_ratio 0.25",
        "worker_cuda_alloc_retries_total 2.0",
        "worker_cuda_ooms_total 1.0",
    ):
        assert line in page
    said.pop(0)
    assert "vram" not in telemetry.page().decode()


def test_no_label_could_hold_a_tenant_a_stream_or_words() -> None:
    telemetry = Telemetry()
    for metric in (
        telemetry.refused,
        telemetry.ended,
        telemetry.dropped,
        telemetry.links_lost,
        telemetry.state,
    ):
        metric.labels("x")
    telemetry.serves(EngineInfo("moonshine", "tiny", "1", "a", ("en",), 1600, 4, 4))
    labels = {
        label
        for family in telemetry.registry.collect()
        for sample in family.samples
        for label in sample.labels
    }
    assert labels == {"code", "how", "reason", "state", "le", "engine", "model", "version"}


def test_the_inference_log_is_asked_when_somebody_reads() -> None:
    telemetry = Telemetry()
    unshipped = [7, 8]
    telemetry.watch_log(lambda: unshipped.pop(0), lambda: 2.5)
    assert "worker_inference_log_unshipped_bytes 7.0" in telemetry.page().decode()
    page = telemetry.page().decode()
    assert "worker_inference_log_unshipped_bytes 8.0" in page
    assert "worker_inference_log_behind_seconds 2.5" in page


def test_it_says_which_model_it_serves_and_since_when() -> None:
    before = time.time()
    telemetry = Telemetry()
    telemetry.serves(EngineInfo("nemo", "streaming.nemo", "3.0", "rnnt", ("en",), 2560, 4, 4))
    lines = telemetry.page().decode().splitlines()
    assert 'worker_model_info{engine="nemo",model="streaming.nemo",version="3.0"} 1.0' in lines
    (began,) = [line for line in lines if line.startswith("worker_start_time_seconds ")]
    assert before <= float(began.split()[1]) <= time.time()
