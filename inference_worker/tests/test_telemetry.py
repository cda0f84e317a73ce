from __future__ import annotations

from inference_worker.telemetry import Recent, Telemetry


def test_the_p95_is_of_the_recent_ones() -> None:
    recent = Recent()
    assert recent.p95_ms() == 0.0
    for _ in range(1000):
        recent.add(9.0)
    for number in range(256):
        recent.add(number / 1000)
    assert recent.p95_ms() == 242.0


def test_the_page_has_what_was_counted_and_two_workers_do_not_share_it() -> None:
    one, other = Telemetry(), Telemetry()
    one.stepped(3, 0.02)
    one.queued(0.01)
    one.answered(0.05)
    one.refused.labels("no_capacity").inc()
    page = one.page().decode()
    assert 'worker_step_rows_bucket{le="4.0"} 1.0' in page
    assert 'worker_streams_refused_total{code="no_capacity"} 1.0' in page
    assert 'worker_step_rows_bucket{le="4.0"} 0.0' in other.page().decode()
    assert one.recent_steps.p95_ms() == 20.0


def test_no_label_could_hold_a_tenant_a_stream_or_words() -> None:
    labels = {
        label for metric in Telemetry().registry._names_to_collectors.values() for label in metric._labelnames
    }
    assert labels == {"code", "how", "reason", "state"}
