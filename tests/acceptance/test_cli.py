"""The client command against the whole service."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import recordings
from tests.acceptance.stack import ROOT, Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


def stenogate(stack: Stack, *arguments: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
    environ = {"STENOGATE_URL": stack.http_url, "STENOGATE_KEY": key or stack.api_key}
    return subprocess.run(
        [str(Path(sys.executable).with_name("stenogate")), *arguments],
        env=environ, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_recording_becomes_lines_of_text(stack: Stack) -> None:
    done = stenogate(stack, "transcribe", "--fast", str(recordings.path("two_cities.wav")))
    assert done.returncode == 0, done.stderr
    assert recordings.word_error_rate(recordings.TWO_CITIES, done.stdout) <= 0.15
    assert re.fullmatch(r"44\.4 s of audio in \d+\.\d s \(.*\), request [0-9a-f-]{36}\n", done.stderr)


def test_json_is_the_servers_messages(stack: Stack) -> None:
    done = stenogate(stack, "transcribe", "--fast", "--json", str(recordings.path("beckett.wav")))
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert messages[-1]["type"] == "Metadata"
    assert {message["type"] for message in messages} <= {"Results", "Metadata", "SpeechStarted"}


def test_a_wrong_key_is_refused_with_its_code_and_its_request(stack: Stack) -> None:
    done = stenogate(stack, "transcribe", str(recordings.path("beckett.wav")), key="nonsense")
    assert done.returncode == 5
    assert re.search(
        r"the server refused the stream: This is not an API key\..*\(HTTP 401, key_malformed; request ",
        done.stderr,
    )


def test_a_bad_parameter_is_named(stack: Stack) -> None:
    done = stenogate(stack, "transcribe", "--param", "endpointing=soon", str(recordings.path("beckett.wav")))
    assert done.returncode == 5
    assert "endpointing" in done.stderr
    assert "HTTP 400, bad_parameter" in done.stderr
