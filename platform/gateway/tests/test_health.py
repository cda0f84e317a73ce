"""Who may read the metrics."""

from __future__ import annotations

import asyncio
import threading

import pytest
from django.test import RequestFactory

from gateway import health, process
from wire.messages import Heartbeat, WorkerState

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


async def test_the_page_says_of_each_part_what_healthz_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async def works() -> str:
        return "answers"

    async def broken() -> str:
        raise health.NotReady("it is away")

    monkeypatch.setattr(health, "CHECKS", {"redis": works, "database": broken})
    monkeypatch.setattr(health, "_last", None)
    pool = process.current().link.pool
    for state in (WorkerState.STARTING, WorkerState.STARTING, WorkerState.READY):
        name = f"worker.{len(pool.all())}"
        pool.hear(
            Heartbeat(
                worker=name, address=name, region="local", state=state, engine="scripted", model="m",
                languages=("en",), capacity=1, active=0,
            ),
            0.0,
        )  # fmt: skip
    try:
        request = RequestFactory().get("/metrics", REMOTE_ADDR="127.0.0.1")
        page = (await health.metrics(request)).content.decode()
    finally:
        for known in pool.all():
            pool.forget(known.address)
    for line in (
        'stenogate_gateway_part_ready{part="redis"} 1.0',
        'stenogate_gateway_part_ready{part="database"} 0.0',
        'stenogate_gateway_workers{state="starting"} 2.0',
        'stenogate_gateway_workers{state="ready"} 1.0',
        'stenogate_gateway_workers{state="draining"} 0.0',
    ):
        assert line in page.splitlines()
