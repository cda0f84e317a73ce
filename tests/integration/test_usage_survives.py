"""Usage and the request log outlive a gateway that is killed, and a Valkey that has lost its memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from metering.events import UsageEvent
from metering.requests import Request
from tests.acceptance import sdk
from tests.acceptance.stack import Stack, wait_for
from tests.acceptance.tenant import Tenant, usage
from tests.integration.sockets import SECOND

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

RATE = 16_000
BACK_WITHIN_S = 90.0


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def spooled(stack: Stack) -> list[tuple[str, dict[str, Any]]]:
    files = sorted((stack.var / "usage").glob("*.jsonl"))
    return [msgspec.json.decode(line) for path in files for line in _lines(path)]


def _of(stack: Stack, kind: type[Request] | type[UsageEvent], **whose: str) -> list[dict[str, Any]]:
    return [
        record for task, record in spooled(stack) if task == kind.task and whose.items() <= record.items()
    ]


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:  # all of it is stored
        return []


def logged(stack: Stack, tenant: Tenant, request_id: str) -> list[int]:
    """What the request log says was billed."""
    found: list[int] = stack.shell(f"""
from metering.models import Request
from tenants.scope import tenant_scope
with tenant_scope({tenant.id!r}):
    answer(list(Request.objects.filter(request_id={request_id!r}).values_list("billed_ms", flat=True)))
""")
    return found


def test_what_celery_has_not_stored_outlives_a_valkey_that_is_flushed(
    scripted_stack: Stack, acme: Tenant, rival: Tenant
) -> None:
    celery = [scripted_stack.pids["celery"], *_children(scripted_stack.pids["celery"])]
    for pid in celery:
        os.kill(pid, signal.SIGSTOP)
    try:
        heard = sdk.transcribe(scripted_stack, acme.key, SECOND * 5, RATE, realtime=False)
        theirs = sdk.transcribe(scripted_stack, rival.key, SECOND * 3, RATE, realtime=False)
        with redis.Redis.from_url(scripted_stack.environ["REDIS_URL"]) as valkey:
            wait_for(lambda: valkey.llen("celery"), 10, "the broker to have it")
            valkey.flushall()
    finally:
        for pid in celery:
            os.kill(pid, signal.SIGCONT)
    for whose, stream, ms in ((acme, heard.request_id, 5000), (rival, theirs.request_id, 3000)):
        ranges = usage(scripted_stack, whose, stream, ms)
        assert (ranges[0][0], ranges[-1][1], sum(end - start for start, end in ranges)) == (0, ms, ms)
        assert wait_for(
            lambda whose=whose, stream=stream: logged(scripted_stack, whose, stream), 30, "it"
        ) == [ms]
    wait_for(lambda: not spooled(scripted_stack), 30, "the spool to be empty")


def test_what_a_killed_gateway_had_not_handed_over_is_handed_over_by_the_next(
    scripted_stack: Stack, acme: Tenant
) -> None:
    gateway = scripted_stack.pids["gateway"]
    with sdk.listening(scripted_stack, acme.key, RATE) as (socket, heard):
        sdk.send(socket, SECOND * 4, RATE, realtime=False)
        wait_for(lambda: heard.finals, 30, "the first final")
        with stopped(scripted_stack.pids["valkey"]):
            # Nothing can be handed over from here on; that the client leaves is heard all the same.
            other = socket._websocket
            other.close()
            stream = heard.request_id
            held = wait_for(lambda: _of(scripted_stack, Request, request_id=stream), 30, "its end")
            on_disk = _of(scripted_stack, UsageEvent, stream=stream)
            os.kill(gateway, signal.SIGKILL)
    wait_for(lambda: scripted_stack.pids.get("gateway", gateway) != gateway, BACK_WITHIN_S, "another gateway")
    wait_for(lambda: _is_well(scripted_stack), BACK_WITHIN_S, "it to be well")
    (entry,) = held
    assert (entry["request_id"], entry["outcome"]) == (stream, "client_left")
    ranges = usage(scripted_stack, acme, stream, entry["billed_ms"])
    assert (ranges[0][0], ranges[-1][1]) == (0, entry["billed_ms"])
    assert max(event["to_ms"] for event in on_disk) == entry["billed_ms"] > 0
    assert wait_for(lambda: logged(scripted_stack, acme, stream), 30, "its entry") == [entry["billed_ms"]]
    wait_for(lambda: not spooled(scripted_stack), 30, "the spool to be empty")


def _is_well(stack: Stack) -> bool:
    try:
        return stack.health()[0] == 200
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *_children(int(child))]
    return found
