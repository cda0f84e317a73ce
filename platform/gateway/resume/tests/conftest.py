from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from gateway import valkey
from gateway.resume.tests.keeping import Gateway, Keep, Shaky
from gateway.resume.tests.returning import House, Make
from metering.requests import Request


@pytest.fixture
def region() -> str:
    """One that no other test has."""
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def leaving() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def make(valkey_server: str, region: str, leaving: AsyncExitStack) -> Make:
    """Gateways of one region."""

    def one(window_s: float = 60.0) -> House:
        made = House(valkey.client(valkey_server), region, window_s)
        leaving.push_async_callback(made.records.close)
        return made

    return one


@pytest.fixture
async def keep(valkey_server: str, region: str, leaving: AsyncExitStack) -> Keep:
    """Their keepers only. None writes by itself."""

    def one(window_s: float = 60.0) -> Gateway:
        kept = Shaky(valkey.client(valkey_server), region, window_s)
        logged: list[Request] = []
        made = Gateway(kept, window_s, logged.extend)
        made.records, made.logged = kept, logged
        leaving.push_async_callback(kept.close)
        return made

    return one
