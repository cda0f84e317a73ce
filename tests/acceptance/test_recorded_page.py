"""docs/recorded.md: its commands run as they stand there, and what comes back is as it shows."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from config import env
from gateway.errors import GatewayError
from gateway.query import Parameter
from gateway.recorded import listen, transcriptions
from tests import recordings
from tests.acceptance.stack import ROOT, Stack
from tests.acceptance.tenant import Tenant
from tests.acceptance.test_protocol_page import shape
from tests.documentation import names
from tests.documentation.curl import needs_curl
from tests.receiver import Answer, Asked, Receiver, receiver

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

PAGE = (ROOT / "docs" / "recorded.md").read_text()
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = _FENCE.findall(PAGE)
COMMANDS = [(number, body) for number, (kind, body) in enumerate(BLOCKS) if kind == "sh"]
REFUSALS = [body for body in names.blocks(PAGE, "json") if "bad_parameter" in body]
UNITS = {"GiB": 2**30, "hours": 3600, "s": 1}


@pytest.fixture
def elsewhere() -> Iterator[Receiver]:
    """The customer's own server: it has the recording, and takes results."""

    def answer(asked: Asked) -> Answer:
        return Answer(body=recordings.path("beckett.wav").read_bytes() if asked.method == "GET" else b"")

    with receiver(answer) as server:
        yield server


@needs_curl
@pytest.mark.parametrize(("number", "command"), COMMANDS, ids=[str(number) for number, _ in COMMANDS])
def test_a_command_is_answered_as_the_page_shows(
    stack: Stack, acme: Tenant, elsewhere: Receiver, tmp_path: Path, number: int, command: str
) -> None:
    shutil.copy(recordings.path("beckett.wav"), tmp_path / "meeting.wav")
    said = _curl(command, tmp_path, {
        "http://127.0.0.1:8000": stack.http_url,
        "https://example.com/": elsewhere.url("/"),
        "YOUR_KEY": acme.key,
    })  # fmt: skip
    kind, shown = next(block for block in BLOCKS[number:] if block[0] != "sh")
    if kind == "json":
        assert shape(json.loads(said)) == shape(json.loads(shown))
    elif "data: " in shown:
        assert _events(said) == _events(shown)
    else:
        assert _without_digits(said).startswith(_without_digits(shown))
    if "callback=" in command:
        (told,) = [asked for asked in elsewhere.wait_for(1, 30) if asked.method == "POST"]
        sent = json.loads(told.body)
        assert sent["metadata"]["request_id"] == json.loads(said)["request_id"]
        assert {"webhook-id", "webhook-timestamp", "webhook-signature"} <= set(told.headers)


@pytest.mark.parametrize(
    ("path", "shown"), [("listen?utt_split=x", REFUSALS[0]), ("audio/transcriptions", REFUSALS[1])]
)
def test_a_refusal_is_as_the_page_shows_it(
    stack: Stack, acme: Tenant, tmp_path: Path, path: str, shown: str
) -> None:
    form = "-F temperature=9 -F file=x" if "audio" in path else "--data-binary x"
    command = f"curl -s {stack.http_url}/v1/{path} -H 'Authorization: Token {acme.key}' {form}"
    said, expected = json.loads(_curl(command, tmp_path, {})), json.loads(shown)
    said["request_id"] = expected["request_id"]
    assert said == expected


@pytest.mark.parametrize(
    ("described", "heading"),
    [(listen.DESCRIBED, "parameter"), (transcriptions.DESCRIBED, "field")],
    ids=["listen", "transcriptions"],
)
def test_every_parameter_is_in_its_table(described: tuple[Parameter, ...], heading: str) -> None:
    table = PAGE.partition(f"| {heading} | what it means |")[2].partition("\n\n")[0]
    assert table.splitlines()[2:] == [
        f"| `{one.name}`{' (may be repeated)' if one.repeated else ''} | {one.means} "
        f"| {one.allowed} | {one.default} |"
        for one in described
    ]


def test_every_code_has_the_status_under_which_it_stands() -> None:
    statuses = {error.code: error.status for error in _below(GatewayError)}
    table = PAGE.partition("| status | codes |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(table) == 9
    for row in table:
        status, codes = row.split("|")[1:3]
        for code in names.code(codes):
            if code in statuses:  # those of keys are not the gateway's own
                assert str(statuses[code]) in status


def test_every_limit_is_the_default_of_its_variable() -> None:
    table = PAGE.partition("| what | how much |")[2].partition("\n\n")[0].splitlines()[2:]
    said = {row.split("`")[-2]: row.split("|")[2].split() for row in table}
    declared = {variable.name: variable for variable in env.variables()}
    for name, (amount, unit) in said.items():
        value = declared[name].read({})
        assert value == (0.5 if unit == "half" else int(amount) * UNITS[unit])
    assert {name for name in declared if name.startswith(("UPLOAD_", "RECORDED_"))} == set(said)


def _curl(command: str, folder: Path, instead: dict[str, str]) -> str:
    for old, new in instead.items():
        command = command.replace(old, new)
    argv = shlex.split(command.replace("\\\n", " "))
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _events(text: str) -> list[Any]:
    """What comes after what; how often the same comes in a row depends on the recording."""
    data = [line.removeprefix("data: ") for line in text.splitlines() if line]
    return [key for key, _ in groupby(shape(json.loads(one)) if one[0] == "{" else one for one in data)]


def _without_digits(text: str) -> str:
    return re.sub(r"\d", "0", text)


def _below(base: type[GatewayError]) -> set[type[GatewayError]]:
    return {base}.union(*(_below(child) for child in base.__subclasses__()))
