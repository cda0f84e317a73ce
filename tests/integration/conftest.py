"""The whole service with the scripted engine and short limits, and two tenants in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.stack import Stack, running_stack
from tests.acceptance.tenant import Tenant, new_tenant

IDLE_S = 3.0
QUIET_S = 5.0
WINDOW_S = 2.0
FAILURES_PER_MINUTE = 50
STALL_S = 1.0
UPLOAD_MAX_BYTES = 20_000_000
RECORDED_MAX_S = 300
RECORDED_WAIT_S = 3.0
METRICS_TOKEN = "of-these-tests"


@pytest.fixture(scope="session")
def scripted_stack() -> Iterator[Stack]:
    settings = {
        "ENGINE": "scripted",
        "MAX_STREAMS": "20",
        "STREAM_IDLE_SECONDS": str(IDLE_S),
        "STREAM_QUIET_SECONDS": str(QUIET_S),
        "STREAM_WINDOW_SECONDS": str(WINDOW_S),
        "AUTH_FAILURES_PER_MINUTE": str(FAILURES_PER_MINUTE),
        "TRUSTED_PROXY": "true",
        "METRICS_TOKEN": METRICS_TOKEN,
        "FETCH_ALLOW": "127.0.0.1/32",
        "UPLOAD_STALL_SECONDS": str(STALL_S),
        "UPLOAD_MAX_BYTES": str(UPLOAD_MAX_BYTES),
        "RECORDED_MAX_SECONDS": str(RECORDED_MAX_S),
        "RECORDED_WAIT_SECONDS": str(RECORDED_WAIT_S),
        "MOVE_WITHIN_SECONDS": "60",
    }
    with running_stack(settings) as running:
        yield running


@pytest.fixture(scope="session")
def acme(scripted_stack: Stack) -> Tenant:
    return new_tenant(scripted_stack, "acme")


@pytest.fixture(scope="session")
def rival(scripted_stack: Stack) -> Tenant:
    return new_tenant(scripted_stack, "rival")
