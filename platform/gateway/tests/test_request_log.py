"""How a stream's end is told in the request log; that it is told is tested in test_consumers."""

from __future__ import annotations

import pytest

from gateway import request_log
from gateway.events import Close
from gateway.parameters import ListenParameters


@pytest.mark.parametrize(
    ("close", "ended", "status"),
    [
        (Close(1000), "done", 200),
        (Close(1006), "client_left", 200),
        (Close(1011, "NET-0001"), "NET-0001", 408),
        (Close(4503, "worker_lost"), "worker_lost", 503),
        (Close(1008, "key_revoked"), "key_revoked", 401),
        (Close(1008, "of_another_version"), "of_another_version", 500),
    ],
)
def test_an_end_has_an_outcome_and_a_status(close: Close, ended: str, status: int) -> None:
    assert request_log.outcome(close) == ended
    assert request_log.status(ended) == status


def test_a_kind_is_what_the_parameters_say() -> None:
    assert request_log.kind(ListenParameters()) == "live"
    assert request_log.kind(ListenParameters(recorded=True)) == "recorded"
