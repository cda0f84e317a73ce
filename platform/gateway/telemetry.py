"""The gateway's metrics. Names and numbers only: no key, tenant, audio or transcript is ever a label."""

from __future__ import annotations

import asyncio

from prometheus_client import Counter, Gauge, Histogram

streams_active = Gauge("stenogate_gateway_streams_active", "Streams open in this process.")
tasks = Gauge("stenogate_gateway_tasks", "Tasks of this process's event loop.")
streams_opened = Counter("stenogate_gateway_streams_opened_total", "Streams accepted.")
streams_refused = Counter(
    "stenogate_gateway_streams_refused_total", "Handshakes refused, by error code.", ["code"]
)
handshakes = Gauge("stenogate_gateway_handshakes", "Handshakes that this process has in hand.")
limits_reached = Counter(
    "stenogate_gateway_limits_reached_total",
    "Streams and requests that met a limit, by which and whose.",
    ["limit", "whose"],
)
limit_errors = Counter("stenogate_gateway_limit_errors_total", "Times that Redis could not be asked.")
leases = Gauge("stenogate_gateway_leases", "Places that this process holds for its streams.")
streams_closed = Counter("stenogate_gateway_streams_closed_total", "Streams ended, by reason.", ["reason"])
bad_messages = Counter("stenogate_gateway_bad_messages_total", "Text messages that no dialect could read.")
protocol_errors = Counter(
    "stenogate_gateway_protocol_errors_total", "Connections ended for breaking the rules of WebSocket."
)
audio_bytes = Counter("stenogate_gateway_audio_bytes_total", "Bytes of audio received.")
results_sent = Counter("stenogate_gateway_results_sent_total", "Results sent to clients, by kind.", ["kind"])
open_seconds = Histogram(
    "stenogate_gateway_open_seconds",
    "Handshake received to stream accepted.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
breakers_open = Gauge(
    "stenogate_gateway_breaker_open",
    "1 while nobody here asks this remote thing, because it does not answer.",
    ["remote"],
)
celery_breakers_open = Gauge(
    "stenogate_celery_breakers_open",
    "Remote things that Celery does not ask for now: Stripe, and how many of customers' servers.",
    ["remote"],
)
control_database_silent = Gauge(
    "stenogate_gateway_control_database_silent_seconds",
    "How old the newest news of the control database is, or infinity.",
)
control_database_grace = Gauge(
    "stenogate_gateway_control_database_grace_seconds",
    "How much longer keys that are known here are served without the control database.",
)
key_lookups = Counter(
    "stenogate_gateway_key_lookups_total", "API key checks, by where the key was found.", ["from_"]
)
workers_ready = Gauge("stenogate_gateway_workers_ready", "Workers that take streams.")
workers_lost = Counter("stenogate_gateway_workers_lost_total", "Workers that stopped answering or stopped.")
streams_resumed = Counter(
    "stenogate_gateway_streams_resumed_total",
    "Clients that came back, by where their stream's audio was.",
    ["from_"],
)
streams_parked = Gauge(
    "stenogate_gateway_streams_parked", "Streams without a client whose audio is kept here for a while."
)
resume_lost = Counter(
    "stenogate_gateway_resume_lost_total", "Streams of which Valkey could not be told that their client left."
)
streams_moved = Counter(
    "stenogate_gateway_streams_moved_total", "Times that a stream had to change its worker, by why.", ["why"]
)
move_seconds = Histogram(
    "stenogate_gateway_move_seconds",
    "A stream without a worker until the next one has caught up.",
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20),
)
replayed_seconds = Counter(
    "stenogate_gateway_replayed_audio_seconds_total", "Audio that was sent again to another worker."
)
open_timeouts = Counter(
    "stenogate_gateway_open_timeouts_total", "Workers that did not answer an Open in time."
)
messages_dropped = Counter(
    "stenogate_gateway_messages_dropped_total", "Messages from workers that found the queue full; sent again."
)
wire_errors = Counter("stenogate_gateway_wire_errors_total", "Messages from workers that were malformed.")
layer_errors = Counter("stenogate_gateway_layer_errors_total", "Channel-layer sends that failed.")
callbacks_dropped = Counter(
    "stenogate_gateway_callbacks_dropped_total", "Callbacks that were too many or too large to be kept."
)
usage_waiting = Gauge("stenogate_gateway_usage_waiting", "Usage events not yet handed to the broker.")
usage_spool_bytes = Gauge(
    "stenogate_gateway_usage_spool_bytes", "Usage on this gateway's disk that is not known to be stored."
)
usage_spool_limit_bytes = Gauge(
    "stenogate_gateway_usage_spool_limit_bytes", "How much it may be before no new streams are taken."
)
usage_spool_broken = Gauge(
    "stenogate_gateway_usage_spool_broken", "1 while the disk takes no usage, which waits in memory then."
)
usage_dropped = Counter(
    "stenogate_gateway_usage_dropped_total", "Usage events lost because the bound was reached."
)


def _tasks() -> float:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # asked for where no loop runs
        return 0


tasks.set_function(_tasks)
# Of what appears with its first number nobody sees an increase, and an alert asks for one of these.
for _reason in ("worker_lost", "engine_failed", "gateway_draining", "internal_error"):
    streams_closed.labels(_reason)
