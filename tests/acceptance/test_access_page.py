"""docs/access.md: its commands and programs run as they stand there; its tables are what the code says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest

from gateway import tokens
from tenants.access import Scope
from tests import recordings
from tests.acceptance import sdk
from tests.acceptance.stack import ROOT, Stack, wait_for
from tests.acceptance.tenant import RECORDED_WITHIN_S, Tenant, new_key, new_tenant
from tests.acceptance.test_protocol_page import shape
from tests.documentation import names
from tests.documentation.curl import needs_curl
from tests.receiver import receiver

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

PAGE = (ROOT / "docs" / "access.md").read_text()
OPENAPI = json.loads((ROOT / "docs" / "openapi.json").read_text())
COMMANDS = names.blocks(PAGE, "sh")
ANSWERS = names.blocks(PAGE, "json")
PAGES, VERIFY = names.blocks(PAGE, "python")


def table(heading: str) -> list[list[str]]:
    rows = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.fixture(scope="module")
def reader(stack: Stack) -> Tenant:
    """Who follows the page: with a key that may do everything, and something in the log."""
    tenant = new_tenant(stack, "reader")
    tenant = Tenant(tenant.id, tenant.project_id, new_key(stack, tenant, *(scope.value for scope in Scope)))
    pcm, rate = recordings.pcm("beckett.wav")
    sdk.transcribe(stack, tenant.key, pcm, rate, realtime=False)

    def told() -> bool:
        at, key = (
            f"{stack.http_url}/v1/projects/{tenant.project_id}",
            {"Authorization": f"Token {tenant.key}"},
        )
        days = httpx.get(f"{at}/usage", headers=key, trust_env=False).json()["results"]
        return bool(days and days[0]["requests"] and days[0]["billed_seconds"])

    wait_for(told, RECORDED_WITHIN_S, "the stream to be recorded")
    return tenant


def run(stack: Stack, reader: Tenant, *argv: str) -> str:
    environ = {
        "PATH": os.environ["PATH"],
        "STENOGATE_URL": stack.http_url,
        "STENOGATE_KEY": reader.key,
        "PROJECT": reader.project_id,
    }
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_curl
@pytest.mark.parametrize(("command", "shown"), list(zip(COMMANDS, ANSWERS, strict=True)))
def test_a_command_is_answered_as_the_page_shows(
    stack: Stack, reader: Tenant, command: str, shown: str
) -> None:
    said, expected = json.loads(run(stack, reader, "bash", "-c", command)), json.loads(shown)
    assert shape(said) == shape(expected)
    for name in ("err_msg", "expires_in", "scopes", "tags", "comment", "resolution"):
        assert said.get(name) == expected.get(name)


def test_the_program_for_pages_reads_them_all(stack: Stack, reader: Tenant) -> None:
    (line,) = run(stack, reader, sys.executable, "-c", PAGES).splitlines()
    assert " done " in line


def test_the_program_for_signatures_knows_ours(stack: Stack, reader: Tenant) -> None:
    program: dict[str, Any] = {}
    exec(VERIFY, program)
    (ask,) = [command for command in COMMANDS if "callback_secret" in command]
    secret = json.loads(run(stack, reader, "bash", "-c", ask))["secret"]
    pcm, rate = recordings.pcm("beckett.wav")
    with receiver() as server:
        sdk.transcribe(stack, reader.key, pcm, rate, realtime=False, callback=server.url("/hook"))
        asked = server.wait_for(2, 30)
    for one in asked:
        assert program["is_ours"](one.headers, one.body, secret)
        assert not program["is_ours"](one.headers, one.body + b" ", secret)
        assert not program["is_ours"](one.headers, one.body, "whsec_AAAA")
        late = {**one.headers, "webhook-timestamp": str(int(time.time()) - 1000)}
        assert not program["is_ours"](late, one.body, secret)


def test_every_address_is_in_the_table_with_its_scope() -> None:
    documented = {
        f"`{method.upper()} {path}`": _needed(operation)
        for path, operations in OPENAPI["paths"].items()
        for method, operation in operations.items()
    }
    assert {row[0]: row[1] for row in table("address | scope | what it does")} == documented


def _needed(operation: dict[str, Any]) -> str:
    if operation["x-scope"]:
        return f"`{operation['x-scope']}`"
    return "any" if operation["security"] else "none"


def test_every_scope_is_in_the_table() -> None:
    assert [row[0] for row in table("scope | what a key with it may do")] == [f"`{scope}`" for scope in Scope]


def test_the_limits_are_those_of_the_default_plan(stack: Stack) -> None:
    said = [
        None if row[1] == "none" else int(row[1])
        for row in table('limit | plan "Default" | refused with | `Retry-After`')
    ]
    plan = stack.shell("""
from tenants.limits import DEFAULT_PLAN, NAMES
from tenants.models import Plan
plan = Plan.objects.get(id=DEFAULT_PLAN)
answer([getattr(plan, name) for name in NAMES])
""")
    assert said == plan


def test_tokens_live_as_long_as_the_page_says() -> None:
    assert re.search(
        rf"`ttl_seconds` is {tokens.SHORTEST_S} to {tokens.LONGEST_S}, {tokens.USUAL_S} if", PAGE
    )
