"""What the worker counts and times, for Prometheus. Never what was said, and nothing per stream or tenant."""

from __future__ import annotations

from collections import deque

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

# Around the frame budget of 160 ms.
SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.02,
    0.04,
    0.08,
    0.12,
    0.16,
    0.24,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
RECENT = 256


class Recent:
    """The last few hundred durations, for the p95 that heartbeats carry."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=RECENT)

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)

    def p95_ms(self) -> float:
        if not self._seconds:
            return 0.0
        return round(sorted(self._seconds)[int(0.95 * (len(self._seconds) - 1))] * 1000, 3)


class Telemetry:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.recent_steps, self.recent_queue = Recent(), Recent()
        self._step = Histogram("worker_step_seconds", "Time of one engine step.", buckets=SECONDS, registry=r)
        self._rows = Histogram("worker_step_rows", "Streams in one engine step.", buckets=ROWS, registry=r)
        self._queue = Histogram(
            "worker_queue_seconds", "From a chunk being complete to its step.", buckets=SECONDS, registry=r
        )
        self._result = Histogram(
            "worker_chunk_to_result_seconds",
            "From a chunk being complete to its result being sent.",
            buckets=SECONDS,
            registry=r,
        )
        self.active = Gauge("worker_active_streams", "Streams that hold a slot.", registry=r)
        self.capacity = Gauge("worker_capacity_streams", "Streams this worker holds at most.", registry=r)
        self.batch_limit = Gauge("worker_batch_limit_rows", "Most rows a step may have now.", registry=r)
        self.opened = Counter("worker_streams_opened", "Streams that got a slot.", registry=r)
        self.refused = Counter("worker_streams_refused", "Streams refused, by code.", ["code"], registry=r)
        self.ended = Counter(
            "worker_streams_ended",
            "Streams that left: ended, aborted, or failed by code.",
            ["how"],
            registry=r,
        )
        self.engine_errors = Counter("worker_engine_errors", "Engine calls that raised.", registry=r)
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
            "worker_event_loop_lag_seconds", "How late the event loop wakes up.", buckets=SECONDS, registry=r
        )
        self.state = Gauge("worker_state", "1 for the state the worker is in.", ["state"], registry=r)

    def stepped(self, rows: int, seconds: float) -> None:
        self._step.observe(seconds)
        self._rows.observe(rows)
        self.recent_steps.add(seconds)

    def queued(self, seconds: float) -> None:
        self._queue.observe(seconds)
        self.recent_queue.add(seconds)

    def answered(self, seconds: float) -> None:
        self._result.observe(seconds)

    def page(self) -> bytes:
        return generate_latest(self.registry)
