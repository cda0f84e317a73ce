"""Who may read the metrics."""

from __future__ import annotations

import asyncio
import threading

import pytest
from django.test import RequestFactory

from gateway import health, process

TOKEN = "a-token-of-this-test"


async def status(address: str, **headers: str) -> int:
    request = RequestFactory().get("/metrics", REMOTE_ADDR=address, headers=headers)
    return (await health.metrics(request)).status_code


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_metrics_are_for_this_machine(address: str) -> None:
    assert await status(address) == 200


@pytest.mark.parametrize("address", ["10.0.0.1", "", "localhost", "127.0.0.1.evil.example"])
async def test_metrics_are_not_for_others(address: str) -> None:
    assert await status(address) == 403


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
async def test_whoever_comes_through_a_proxy_on_this_machine_is_not_from_here(name: str) -> None:
    assert await status("127.0.0.1", **{name: "127.0.0.1"}) == 403


async def test_behind_a_proxy_nobody_is_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_PROXY", "true")
    assert await status("127.0.0.1") == 403


async def test_the_token_opens_them_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TOKEN", TOKEN)
    assert await status("10.0.0.1", Authorization=f"Bearer {TOKEN}") == 200
    assert await status("10.0.0.1", Authorization="Bearer \xe9") == 403
    assert await status("10.0.0.1") == 403


async def test_billing_that_takes_long_is_passed_over_and_holds_up_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, done = threading.Event(), threading.Event()

    class Slow:
        def refresh(self) -> None:
            asked.set()
            done.wait(60)

    monkeypatch.setattr(health, "_billing", Slow())
    monkeypatch.setattr(health, "PART_TIMEOUT_S", 0.05)
    try:
        for _ in range(5):
            assert await status("127.0.0.1") == 200
        assert asked.wait(30)
        async with asyncio.timeout(30):
            assert await process.in_database(lambda: "free") == "free"
    finally:
        done.set()
