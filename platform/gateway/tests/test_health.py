"""Who may read the metrics."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from django.test import RequestFactory

from config import celery
from faults.breaker import OPENS_AFTER, Breaker
from gateway import control, health, process, receivers
from gateway.callbacks import Callback
from gateway.receivers import Receivers
from metering.payments import client as payments
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
            assert await control.in_thread(lambda: "free") == "free"
    finally:
        done.set()


async def test_the_page_says_of_each_part_what_healthz_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async def works() -> str:
        return "answers"

    async def broken() -> str:
        raise health.NotReady("it is away")

    monkeypatch.setattr(health, "CHECKS", {"redis": works, "database": broken, "keys": works})
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


@pytest.mark.parametrize(
    ("grace_s", "away", "weak", "down"),
    [
        (900, "database keys celery", {"database", "keys", "celery"}, set()),
        (900, "keys", {"keys"}, set()),
        (900, "celery", set(), {"celery"}),  # by itself it is somebody's work
        (900, "database redis", {"database"}, {"redis"}),
        (1, "database keys", set(), {"database", "keys"}),  # the grace is over
        (900, "", set(), set()),
    ],
)
async def test_without_the_control_database_it_stays_in_service_for_the_grace(
    grace_s: float, away: str, weak: set[str], down: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(name: str) -> health.Check:
        async def answer() -> str:
            if name in away.split():
                raise health.NotReady("it is away")
            return "answers"

        return answer

    database = control.ControlDatabase(grace_s, clock=lambda: 100.0)
    database.current_at = 90.0
    monkeypatch.setattr(process.current().authenticator, "database", database)
    monkeypatch.setattr(
        health, "CHECKS", {name: check(name) for name in ("database", "redis", "celery", "keys")}
    )
    ready, text = await health.report()
    states = {line.split()[1].rstrip(":"): line.split()[0] for line in text.splitlines()}
    assert {name for name, state in states.items() if state == "weak"} == weak
    assert {name for name, state in states.items() if state == "down"} == down
    assert ready is (not down)


async def test_a_gateway_that_has_never_had_news_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    database = control.ControlDatabase(900)
    monkeypatch.setattr(process.current().authenticator, "database", database)
    with pytest.raises(health.NotReady, match="never"):
        await health._keys()
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError), database.noting():
            raise ConnectionRefusedError
    with pytest.raises(health.NotReady, match="cannot be reached"):
        await health._database()


async def test_the_page_has_the_breakers_of_here_and_of_celery(
    valkey_server: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = valkey_server
    monkeypatch.setattr(health, "CHECKS", {"database": _answers, "keys": _answers})
    monkeypatch.setattr(payments, "breaker", Breaker(opens_after=0))
    alone = Receivers()
    what = Callback("project", "request", 0, "https://dead.example/", "post", "{}", 0.0)
    for _ in range(OPENS_AFTER):
        alone.begin(what)
        alone.end(what, answered=False)
    monkeypatch.setattr(receivers, "current", lambda: alone)
    celery.alive(celery.CALLBACKS_ALIVE_KEY)
    request = RequestFactory().get("/metrics", REMOTE_ADDR="127.0.0.1")
    page = (await health.metrics(request)).content.decode().splitlines()
    for line in (
        'stenogate_gateway_breaker_open{remote="stripe"} 1.0',
        'stenogate_celery_breakers_open{remote="stripe"} 1.0',
        'stenogate_celery_breakers_open{remote="callbacks"} 1.0',
    ):
        assert line in page
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    page = (await health.metrics(request)).content.decode().splitlines()
    assert 'stenogate_celery_breakers_open{remote="stripe"} NaN' in page


async def _answers() -> str:
    return "answers"
