"""docs/clients.md and the two pages about moving here: their examples run as they stand there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import recordings
from tests.acceptance.stack import ROOT, Stack
from tests.acceptance.tenant import Tenant, new_key
from tests.acceptance.test_protocol_page import shape
from tests.documentation import names
from tests.documentation.curl import needs_curl

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

PAGES = {
    name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("clients", "from-openai", "from-deepgram")
}
# What an example prints that hears nothing.
PRINTS = {"from-openai": "session.created", "from-deepgram": "Calls"}
# These need what is not installed here; they are tried by hand, and are marked as another language.
BY_HAND = ("livekit", "pipecat")
MAX_WORD_ERROR_RATE = 0.15


def of_pages(language: str) -> list[tuple[str, str]]:
    return [(page, block) for page, text in PAGES.items() for block in names.blocks(text, language)]


def ids(found: list[tuple[str, str]]) -> list[str]:
    return [f"{page}-{number}" for number, (page, _) in enumerate(found, start=1)]


EXAMPLES = of_pages("python")
COMMANDS = [(page, block) for page, block in of_pages("sh") if block.startswith("curl ")]


@pytest.fixture(scope="module")
def key(stack: Stack, acme: Tenant) -> str:
    return new_key(stack, acme, "listen", "projects:read")


def run(stack: Stack, key: str, folder: Path, *command: str) -> str:
    shutil.copy(recordings.path("beckett.wav"), folder / "speech.wav")
    where = {"STENOGATE_URL": stack.http_url, "STENOGATE_KEY": key}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | where, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("page", "example"), EXAMPLES, ids=ids(EXAMPLES))
def test_an_example_works_when_pasted(
    stack: Stack, key: str, tmp_path: Path, page: str, example: str
) -> None:
    said = run(stack, key, tmp_path, sys.executable, "-c", example)
    if "speech.wav" not in example:
        assert PRINTS[page] in said
        return
    # One page goes on with the words and when they began.
    heard, _, words = said.partition("[(")
    assert recordings.word_error_rate(recordings.BECKETT, heard) <= MAX_WORD_ERROR_RATE
    assert bool(words) == ("granularities" in example)


@needs_curl
@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=ids(COMMANDS))
def test_a_command_works_when_pasted(stack: Stack, key: str, tmp_path: Path, page: str, command: str) -> None:
    said = json.loads(run(stack, key, tmp_path, "bash", "-c", command))
    if "speech.wav" in command:
        heard = (
            said["text"]
            if "text" in said
            else said["results"]["channels"][0]["alternatives"][0]["transcript"]
        )
        assert recordings.word_error_rate(recordings.BECKETT, heard) <= MAX_WORD_ERROR_RATE
    elif "WRONG" in command:
        ((_, shown),) = of_pages("json")
        assert shape(said) == shape(json.loads(shown))
    else:
        assert {"access_token", "stt"} & set(said)


def test_what_is_tried_by_hand_is_python_and_nothing_else() -> None:
    by_hand = of_pages("py")
    assert len(by_hand) == len(BY_HAND)
    for (page, example), name in zip(by_hand, BY_HAND, strict=True):
        compile(example, page, "exec")
        assert re.search(rf"^from {name}\.", example, re.MULTILINE)


def test_no_page_is_without_an_example_that_runs() -> None:
    assert {page for page, _ in EXAMPLES} == {page for page, _ in COMMANDS} == set(PAGES)
