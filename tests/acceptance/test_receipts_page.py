"""docs/receipts.md and docs/usage-api.md: their commands run as they stand there, and the bill is proven."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tenants.access import Scope
from tests import recordings
from tests.acceptance import sdk
from tests.acceptance.stack import ROOT, Stack, wait_for
from tests.acceptance.tenant import RECORDED_WITHIN_S, Tenant, new_key, new_tenant
from tests.acceptance.test_protocol_page import shape
from tests.documentation import names
from tests.documentation.curl import needs_curl

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180), needs_curl]

RECEIPTS = (ROOT / "docs" / "receipts.md").read_text()
USAGE = (ROOT / "docs" / "usage-api.md").read_text()
PROVE, WHERE = names.blocks(RECEIPTS, "sh")
(BY_HAND,) = names.blocks(RECEIPTS, "python")
COMMANDS = names.blocks(USAGE, "sh")
ANSWERS = names.blocks(USAGE, "json")


@pytest.fixture(scope="module")
def reader(stack: Stack) -> Tenant:
    """Who follows the pages: somebody with a stream in the ledger, and a receipt of it."""
    tenant = new_tenant(stack, "payer")
    tenant = Tenant(tenant.id, tenant.project_id, new_key(stack, tenant, *(scope.value for scope in Scope)))
    pcm, rate = recordings.pcm("beckett.wav")
    sdk.transcribe(stack, tenant.key, pcm, rate, realtime=False)
    headers = {"Authorization": f"Token {tenant.key}"}

    def asked(path: str) -> Any:
        return httpx.get(f"{stack.http_url}{path}", headers=headers, trust_env=False).json()

    def posted() -> bool:
        receipts = asked("/v1/receipts")["receipts"]
        return bool(receipts) and asked("/v1/billing/usage")["ms"] == sum(
            json.loads(one["body"])["ms"] for one in receipts
        )

    wait_for(posted, RECORDED_WITHIN_S, "all of the stream to be in the ledger")
    return tenant


def run(stack: Stack, reader: Tenant, folder: Path, *argv: str) -> str:
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "STENOGATE_URL": stack.http_url,
        "STENOGATE_KEY": reader.key,
    }
    done = subprocess.run(
        argv, env=environ, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_bill_is_proven_by_what_the_page_says(stack: Stack, reader: Tenant, tmp_path: Path) -> None:
    said = run(stack, reader, tmp_path, "bash", "-ec", PROVE)
    assert said.splitlines()[-1].endswith(" agrees.")
    assert [line.partition(" ")[0] for line in said.splitlines()[:-1]] == ["agrees"] * 4
    (line,) = run(stack, reader, tmp_path, sys.executable, "-c", BY_HAND).splitlines()
    billed = json.loads((tmp_path / "invoice.json").read_text())["ms"]
    assert line.startswith("1 ")
    assert line.endswith(f" {billed} ms")


def test_where_it_finds_the_demo_is_where_it_is(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "var" / "run").mkdir(parents=True)
    (tmp_path / "var" / "run" / "demo.json").write_text(json.dumps(stack.facts))
    found = subprocess.run(
        ["bash", "-ec", f"{WHERE}\necho $STENOGATE_URL $STENOGATE_KEY"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert found == [stack.http_url, stack.facts["api_key"]]


@pytest.mark.parametrize(("command", "shown"), list(zip(COMMANDS, ANSWERS, strict=False)))
def test_a_command_is_answered_as_the_page_shows(
    stack: Stack, reader: Tenant, tmp_path: Path, command: str, shown: str
) -> None:
    said, expected = json.loads(run(stack, reader, tmp_path, "bash", "-c", command)), json.loads(shown)
    for one in (said, expected):
        one.pop("included", None)  # as the plan has it
    assert shape(said) == shape(expected)


def test_the_draft_as_csv_has_the_stream(stack: Stack, reader: Tenant, tmp_path: Path) -> None:
    said = run(stack, reader, tmp_path, "bash", "-c", COMMANDS[-1])
    assert len([line for line in said.splitlines() if ",stream," in line]) == 1
