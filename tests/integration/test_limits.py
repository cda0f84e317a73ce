"""The limits of plans and projects, over two gateways of one region."""

from __future__ import annotations

import asyncio
import os
import signal
import socket as sockets_module
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from gateway.admission import LEASE_S
from gateway.openings import APART_S
from tests.acceptance.stack import ROOT, Stack, running_stack, wait_for
from tests.acceptance.tenant import Tenant, new_tenant
from tests.integration.sockets import SECOND, refusal, rest

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

ROOM = 120  # of the worker: more than any limit here
TOLD_WITHIN_S = 1.0
PATH = "/v1/listen?encoding=linear16&sample_rate=16000"


@dataclass
class Gateways:
    """The one of the stack, and another one beside it."""

    stack: Stack
    second: subprocess.Popen[bytes]
    second_url: str

    @property
    def urls(self) -> tuple[str, str]:
        return self.stack.ws_url, self.second_url


@pytest.fixture(scope="module")
def limits_stack() -> Iterator[Stack]:
    settings = {"ENGINE": "scripted", "MAX_STREAMS": str(ROOM), "STREAM_IDLE_SECONDS": "120"}
    with running_stack(settings) as running:
        yield running


@contextmanager
def two(limits_stack: Stack) -> Iterator[Gateways]:
    with sockets_module.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = limits_stack.environ | {"GATEWAY_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.server"],
        cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: _healthy(port), 60, "the second gateway")
        yield Gateways(limits_stack, process, f"ws://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def both(limits_stack: Stack) -> Iterator[Gateways]:
    with two(limits_stack) as running:
        yield running


@pytest.fixture
def gateways(both: Gateways) -> Gateways:
    """For all that kill neither. Valkey may have been away from them."""
    port = int(both.second_url.rpartition(":")[2])
    wait_for(lambda: both.stack.health()[0] == 200 and _healthy(port), 60, "both to be well")
    return both


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def tenant(stack: Stack, slug: str, *, plan: str = "", project: str = "") -> Tenant:
    """A new one, on a plan with these limits, its project with those."""
    made = new_tenant(stack, slug)
    set_limits(stack, made, plan=plan, project=project)
    return made


def set_limits(stack: Stack, whose: Tenant, *, plan: str = "", project: str = "") -> None:
    stack.shell(f"""
from decimal import Decimal
from tenants import services
from tenants.limits import Limits
from tenants.models import Project, Tenant
from tenants.scope import staff_scope
with staff_scope():
    tenant = Tenant.objects.select_related("plan").get(id={whose.id!r})
    project = Project.objects.get(id={whose.project_id!r})
    if tenant.plan.slug == "default":
        services.set_plan(tenant, services.create_plan(tenant.name, tenant.slug, Limits({plan})))
    else:
        services.change_plan(tenant.plan, Limits({plan}))
    services.set_project_limits(project, Limits({project}))
answer(None)
""")


Answer = ClientConnection | InvalidStatus


async def knock(url: str, key: str) -> Answer:
    headers = {"Authorization": f"Token {key}"}
    try:
        return await connect(url + PATH, additional_headers=headers, proxy=None, open_timeout=60)
    except InvalidStatus as refused:
        return refused


async def knock_at_once(urls: tuple[str, ...], key: str, count: int) -> tuple[list[Any], list[Any]]:
    """`count` clients at the same moment, over these gateways. Who is in, and who was refused with what."""
    answers = await asyncio.gather(*(knock(urls[number % len(urls)], key) for number in range(count)))
    inside = [answer for answer in answers if isinstance(answer, ClientConnection)]
    return inside, [answer.response for answer in answers if isinstance(answer, InvalidStatus)]


async def leave(sockets: list[Any]) -> None:
    await asyncio.gather(*(socket.close() for socket in sockets))


async def test_two_hundred_clients_at_the_same_moment_get_the_fifty_places_there_are(
    gateways: Gateways,
) -> None:
    stack = gateways.stack
    acme = tenant(stack, "crowd", project="streams_at_once=50")
    rival = tenant(stack, "crowd-rival", plan="streams_at_once=20")
    (inside, refused), (others, _) = await asyncio.gather(
        knock_at_once(gateways.urls, acme.key, 200), knock_at_once(gateways.urls, rival.key, 20)
    )
    try:
        assert (len(inside), len(refused), len(others)) == (50, 150, 20)
        for response in refused:
            body = response.body.decode()
            assert response.status_code == 429
            assert int(response.headers["retry-after"]) >= 1
            assert '"too_many_streams"' in body
            assert "The limit is 50, of this project." in body
        await leave(inside)
        inside = []
        # A place is free in Redis a moment after its socket is closed.
        deadline = time.monotonic() + 10
        while len(inside) < 50 and time.monotonic() < deadline:
            more, _ = await knock_at_once(gateways.urls, acme.key, 55 - len(inside))
            inside += more
        assert len(inside) == 50
    finally:
        await leave(inside + others)


async def test_a_gateway_that_is_killed_frees_its_places_when_its_leases_run_out(limits_stack: Stack) -> None:
    acme = tenant(limits_stack, "killed", plan="streams_at_once=6")
    with two(limits_stack) as gateways:
        dead, _ = await knock_at_once((gateways.second_url,), acme.key, 4)
        alive, _ = await knock_at_once((limits_stack.ws_url,), acme.key, 2)
        assert (len(dead), len(alive)) == (4, 2)
        gateways.second.send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
    more, _ = await knock_at_once((limits_stack.ws_url,), acme.key, 1)
    assert more == []
    while len(more) < 4:
        assert time.monotonic() - killed_at < LEASE_S + 5
        await asyncio.sleep(0.2)
        # One alone until a place is free, then more than there are.
        more += (await knock_at_once((limits_stack.ws_url,), acme.key, 10 if more else 1))[0]
    assert len(more) == 4
    await leave(alive + more)


async def test_a_limit_that_is_changed_holds_within_a_second(limits_stack: Stack) -> None:
    acme = tenant(limits_stack, "changed", plan="streams_at_once=1")
    first, refused = await knock_at_once((limits_stack.ws_url,), acme.key, 3)
    assert (len(first), len(refused)) == (1, 2)
    set_limits(limits_stack, acme, plan="streams_at_once=3")
    changed_at, more = time.monotonic(), []
    while len(more) < 2:  # the answer comes from a shell that has yet to end, so this is generous already
        assert time.monotonic() - changed_at < TOLD_WITHIN_S
        # It may change while they knock.
        inside, _ = await knock_at_once((limits_stack.ws_url,), acme.key, 5)
        more += inside
    inside, refused = await knock_at_once((limits_stack.ws_url,), acme.key, 3)
    assert (len(more), len(inside), len(refused)) == (2, 0, 3)
    assert b"of the plan 'Changed', for all projects together" in refused[0].body
    await leave(first + more)


async def test_new_streams_a_minute_are_counted_and_refusals_are_not(gateways: Gateways) -> None:
    acme = tenant(gateways.stack, "minute", plan="openings_a_minute=5")
    for attempt in range(3):
        inside, refused = await knock_at_once(gateways.urls, acme.key, 20)
        await leave(inside)
        assert len(inside) == (5 if attempt == 0 else 0)
        assert {response.status_code for response in refused} == {429}
        assert b'"too_many_openings"' in refused[0].body
        # Not all at the same moment.
        assert 1 <= int(refused[0].headers["retry-after"]) <= 60 + APART_S


async def test_a_stream_that_uses_up_the_day_is_ended_by_name_and_the_next_is_refused(
    limits_stack: Stack,
) -> None:
    acme = tenant(limits_stack, "audio", project="audio_hours_a_day=Decimal('0.001')")  # 3.6 s
    socket = await knock(limits_stack.ws_url, acme.key)
    assert isinstance(socket, ClientConnection)
    for _ in range(5):
        await socket.send(SECOND)
    async with asyncio.timeout(15):
        messages, code, reason = await rest(socket)
    assert (code, reason) == (1008, "audio_limit_reached")
    assert messages[-1]["type"] == "Error"
    assert "0.001 hours a day, of this project" in messages[-1]["message"] + messages[-1]["description"]
    status, body, headers = await refusal(
        limits_stack, PATH, additional_headers={"Authorization": f"Token {acme.key}"}
    )
    assert (status, body["err_code"]) == (429, "audio_limit_reached")
    assert 1 <= int(headers["retry-after"]) <= 86_400


async def test_without_valkey_a_handshake_is_answered_in_time(limits_stack: Stack) -> None:
    acme = tenant(limits_stack, "dark")
    pid = limits_stack.pids["valkey"]
    os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        answer = await knock(limits_stack.ws_url, acme.key)
        assert isinstance(answer, InvalidStatus)
        assert answer.response.status_code == 503
        assert int(answer.response.headers["retry-after"]) >= 1
        assert time.monotonic() - begun < 6
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: limits_stack.health()[0] == 200, 60, "the gateway to be well again")


async def test_requests_a_second_hold_over_both_gateways(limits_stack: Stack, gateways: Gateways) -> None:
    ours = tenant(limits_stack, "hasty", project="requests_a_second=3")
    urls = [url.replace("ws://", "http://") for url in gateways.urls]
    started = time.monotonic()
    async with httpx.AsyncClient(trust_env=False, headers={"Authorization": f"Token {ours.key}"}) as client:
        answers = await asyncio.gather(*(client.get(f"{urls[n % 2]}/v1/models") for n in range(40)))
    seconds = time.monotonic() - started
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 3 <= len(answers) - len(refused) <= 3 * (int(seconds) + 1)
    assert refused
    for answer in refused:
        assert (answer.status_code, answer.json()["err_code"]) == (429, "too_many_requests")
        assert answer.headers["retry-after"] == "1"
        assert "3 a second, of this project" in answer.json()["details"]
