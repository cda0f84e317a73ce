"""What the worker counts and times, for Prometheus. Never what was said, and nothing per stream or tenant."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inference_worker.engines.base import EngineInfo, Hypothesis, Memory
from inference_worker.histograms import LATENCIES, ROWS, TENTHS, Histogram, Recent, around


class Telemetry:
    def __init__(self, chunk_s: float = 0.16) -> None:
        self.registry = CollectorRegistry()
        r, seconds = self.registry, around(chunk_s)
        self.recent_steps, self.recent_queue = Recent(), Recent()
        self._step = Histogram("worker_step_seconds", "Time of one engine step.", seconds, r)
        self._rows = Histogram("worker_step_rows", "Streams in one engine step.", ROWS, r)
        self._bucket = Histogram(
            "worker_bucket_rows", "Rows the engine computed in one step, padding included.", ROWS, r
        )
        self._queue = Histogram(
            "worker_queue_seconds", "From a chunk of live audio being complete to its step.", seconds, r
        )
        self._result = Histogram(
            "worker_chunk_to_result_seconds",
            "From a chunk of live audio being complete to its result being sent.",
            seconds,
            r,
        )
        self.first_partial = Histogram(
            "worker_first_partial_seconds",
            "From somebody beginning to speak, live, to the first words of it being sent.",
            LATENCIES,
            r,
        )
        self.speech_end_to_final = Histogram(
            "worker_speech_end_to_final_seconds",
            "From somebody pausing, live, to the final of what they said being sent.",
            LATENCIES,
            r,
        )
        self._confidence = Histogram(
            "worker_word_confidence", "How sure the engine was of each word of its finals, of 1.", TENTHS, r
        )
        self._model = Gauge(
            "worker_model_info", "1 for the model served.", ["engine", "model", "version"], registry=r
        )
        Gauge("worker_start_time_seconds", "When this worker began, as Unix time.", registry=r).set(
            time.time()
        )
        Gauge("worker_chunk_seconds", "The length of a chunk of audio.", registry=r).set(chunk_s)
        self.active = Gauge("worker_active_streams", "Streams that hold a slot.", registry=r)
        self.capacity = Gauge("worker_capacity_streams", "Streams this worker holds at most.", registry=r)
        self.batch_limit = Gauge("worker_batch_limit_rows", "Most rows a step may have now.", registry=r)
        self.batch_capacity = Gauge(
            "worker_batch_capacity_rows", "Most rows a step may have while there is memory.", registry=r
        )
        self.real_time_factor = Gauge(
            "worker_real_time_factor", "Engine time for a second of audio, of the last step.", registry=r
        )
        self.opened = Counter("worker_streams_opened", "Streams that got a slot.", registry=r)
        self.refused = Counter("worker_streams_refused", "Streams refused, by code.", ["code"], registry=r)
        self.ended = Counter(
            "worker_streams_ended",
            "Streams that left: ended, aborted, or failed by code.",
            ["how"],
            registry=r,
        )
        self.engine_errors = Counter("worker_engine_errors", "Engine calls that raised.", registry=r)
        self.breaker_opened = Counter(
            "worker_breaker_opened", "Times the engine failed too often and got no more streams.", registry=r
        )
        self.out_of_memory = Counter(
            "worker_out_of_memory", "Steps that did not fit into memory.", registry=r
        )
        self.audio = Counter("worker_audio_processed_seconds", "Seconds of audio processed.", registry=r)
        self.finals = Counter("worker_finals", "Final hypotheses sent.", registry=r)
        self.partials = Counter("worker_partials", "Partial hypotheses sent.", registry=r)
        self.received = Counter("worker_envelopes_received", "Envelopes received.", registry=r)
        self.sent = Counter("worker_envelopes_sent", "Envelopes sent.", registry=r)
        self.resent = Counter("worker_envelopes_resent", "Envelopes sent again.", registry=r)
        self.dropped = Counter(
            "worker_messages_dropped", "Channel-layer messages dropped, by reason.", ["reason"], registry=r
        )
        self.send_errors = Counter("worker_send_errors", "Messages that Redis did not take.", registry=r)
        self.links = Gauge("worker_gateways", "Gateway processes this worker talks with.", registry=r)
        self.links_lost = Counter(
            "worker_gateways_lost", "Gateways given up, by reason.", ["reason"], registry=r
        )
        self.loop_lag = Histogram(
            "worker_event_loop_lag_seconds", "How late the event loop wakes up.", seconds, r
        )
        self.log_write_failures = Counter(
            "worker_inference_log_write_failures", "Times the inference log could not be written.", registry=r
        )
        self.log_ship_failures = Counter(
            "worker_inference_log_ship_failures", "Times the database did not take it.", registry=r
        )
        self.log_rejected = Counter(
            "worker_inference_log_rejected",
            "Lines that could not be read, and records that the database refuses for good.",
            registry=r,
        )
        self.state = Gauge("worker_state", "1 for the state the worker is in.", ["state"], registry=r)

    def stepped(self, rows: int, bucket: int, seconds: float, live: bool = True) -> None:
        self._step.add(seconds)
        self._rows.add(rows)
        self._bucket.add(bucket)
        if live:  # steps of recorded audio alone are as long as they may be, and say nothing of who speaks
            self.recent_steps.add(seconds)

    def queued(self, seconds: Sequence[float]) -> None:
        """Of all live rows of a step."""
        self._queue.add_all(seconds)
        self.recent_queue.add_all(seconds)

    def answered(self, seconds: Sequence[float]) -> None:
        self._result.add_all(seconds)

    def serves(self, info: EngineInfo) -> None:
        self._model.labels(info.name, info.model, info.version).set(1)

    def heard(self, hypotheses: Sequence[Hypothesis]) -> None:
        self._confidence.add_all(w.confidence for h in hypotheses if h.is_final for w in h.words)

    def watch_memory(self, memory: Callable[[], Memory | None]) -> None:
        """Ask for it whenever somebody reads the page."""
        self.registry.register(_MemoryCollector(memory))

    def watch_log(self, unshipped_bytes: Callable[[], int], behind_s: Callable[[], float]) -> None:
        for name, help, ask in (
            ("unshipped_bytes", "Bytes of the inference log that are not in the database.", unshipped_bytes),
            ("behind_seconds", "Age of the oldest of the inference log not in the database.", behind_s),
        ):
            Gauge(f"worker_inference_log_{name}", help, registry=self.registry).set_function(ask)

    def page(self) -> bytes:
        return generate_latest(self.registry)


class _MemoryCollector(Collector):
    def __init__(self, memory: Callable[[], Memory | None]) -> None:
        self._memory = memory

    def collect(self) -> Iterator[Metric]:
        memory = self._memory()
        if memory is None:
            return
        for name, help, value in (
            ("allocated_bytes", "Memory of the GPU in use.", memory.allocated),
            ("reserved_bytes", "Memory of the GPU taken, in use or not.", memory.reserved),
            ("peak_bytes", "The most memory of the GPU that was ever in use.", memory.peak),
            ("fragmentation_ratio", "The part of what is reserved that is not in use.", memory.fragmentation),
        ):
            yield GaugeMetricFamily(f"worker_vram_{name}", help, value)
        yield CounterMetricFamily(
            "worker_cuda_alloc_retries", "Allocations that worked after a clean-up only.", memory.retries
        )
        yield CounterMetricFamily("worker_cuda_ooms", "Allocations that failed.", memory.out_of_memory)
