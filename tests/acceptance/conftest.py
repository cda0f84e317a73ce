"""One whole service for all acceptance tests, and two tenants in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.stack import Stack, running_stack
from tests.acceptance.tenant import Tenant, new_tenant


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    # Recordings are fetched from a server of the tests, on this machine.
    # There is one worker, and to load its model may take long on a busy machine.
    with running_stack({"FETCH_ALLOW": "127.0.0.1/32", "MOVE_WITHIN_SECONDS": "60"}) as running:
        yield running


@pytest.fixture(scope="session")
def acme(stack: Stack) -> Tenant:
    return new_tenant(stack, "acme")


@pytest.fixture(scope="session")
def rival(stack: Stack) -> Tenant:
    return new_tenant(stack, "rival")
