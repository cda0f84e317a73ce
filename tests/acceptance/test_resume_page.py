"""docs/resume.md: its examples run as they stand there, and the words are those of the recording."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.resume import errors
from stenogate import client, feed, patience
from stenogate.connection import CUT_OFF, CUT_OFF_REASONS, PING_SECONDS
from tests import recordings
from tests.acceptance.stack import ROOT, Stack
from tests.acceptance.tenant import Tenant
from tests.documentation import names

PAGE = (ROOT / "docs" / "resume.md").read_text()
WITH_CLIENT, BY_HAND = names.blocks(PAGE, "python")
MAX_WORD_ERROR_RATE = 0.15


@pytest.mark.stack
@pytest.mark.timeout(180)
@pytest.mark.parametrize("example", [WITH_CLIENT, BY_HAND], ids=["client", "by hand"])
def test_an_example_works_when_pasted(stack: Stack, acme: Tenant, tmp_path: Path, example: str) -> None:
    shutil.copy(recordings.path("beckett.wav"), tmp_path / "speech.wav")
    where = {"PYTHONPATH": str(ROOT), "STENOGATE_URL": stack.http_url, "STENOGATE_KEY": acme.key}
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path, env=os.environ | where, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    heard = " ".join(done.stdout.splitlines())
    assert recordings.word_error_rate(recordings.BECKETT, heard) <= MAX_WORD_ERROR_RATE


def test_the_page_has_every_refusal() -> None:
    table = PAGE.partition("## Refusals")[2].partition("\n\nThose")[0]
    refusals = {
        (one.code, one.status)
        for one in vars(errors).values()
        if isinstance(one, type)
        and issubclass(one, GatewayError)
        and one.__module__ == errors.__name__
        and one is not errors.ResumedElsewhere
    }
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    assert {(row[0].strip("| `"), int(row[1])) for row in rows} == refusals


def test_the_figures_of_the_client_are_its_own() -> None:
    assert (feed.KEPT_S, feed.AHEAD_S) == (240, 90)
    assert f"{feed.KEPT_S} seconds" in PAGE
    assert f"up to {feed.AHEAD_S} that" in PAGE
    assert (patience.FIRST_S, patience.LONGEST_S, patience.MAX_IN_VAIN) == (0.5, 10.0, 20)
    found_out_s = [PING_SECONDS + s for s in (client.ANSWERS_WITHIN_S, client.ANSWERS_WITHIN_S_TO_A_FILE)]
    assert found_out_s == [25, 125]
    step = PAGE.partition("3. **When")[2].partition("4. **Open")[0]
    for sign in CUT_OFF | CUT_OFF_REASONS:
        assert str(sign) in step
