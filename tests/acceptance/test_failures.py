"""What a customer notices when a key is revoked or a part dies: always a name, never silence."""

from __future__ import annotations

import os
import signal
import time
import urllib.request

import pytest

from tests import recordings
from tests.acceptance import sdk
from tests.acceptance.stack import Stack, wait_for
from tests.acceptance.tenant import Tenant, new_key, revoke, usage

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

REVOKED_WITHIN_S = 1.0
BACK_WITHIN_S = 90.0


def test_a_revoked_key_is_refused_and_its_streams_are_closed(stack: Stack, acme: Tenant) -> None:
    key = new_key(stack, acme)
    pcm, rate = recordings.pcm("beckett.wav")
    with sdk.listening(stack, key, rate) as (socket, heard):
        sdk.send(socket, pcm, rate, realtime=False)
        wait_for(lambda: heard.of_type("Results"), 30, "the first result")
        revoked_at = revoke(stack, acme, key)
        wait_for(lambda: socket._websocket.close_code is not None, 10, "the stream to be closed")
        closed_after = time.time() - revoked_at
    assert closed_after < REVOKED_WITHIN_S + 0.3  # so long it may take to be seen here
    assert heard.close_code == 1008
    assert heard.close_reason == "key_revoked"
    assert [error.code for error in heard.of_type("Error")] == ["key_revoked"]
    with sdk.refused(401, "key_revoked"), sdk.listening(stack, key, rate):
        pass
    # What was processed until then is billed, and never more than was sent.
    ranges = usage(stack, acme, heard.request_id, 1)
    assert 0 < ranges[-1][1] <= len(pcm) // 2 * 1000 // rate


def test_a_killed_worker_comes_back_and_its_stream_goes_on(stack: Stack, acme: Tenant) -> None:
    pcm, rate = recordings.pcm("beckett.wav")
    before = stack.pids["worker"]
    with sdk.listening(stack, acme.key, rate) as (socket, heard):
        sdk.send(socket, pcm, rate, realtime=False)
        wait_for(lambda: heard.of_type("Results"), 30, "the first result")
        os.kill(before, signal.SIGKILL)
        socket.send_close_stream()
    assert heard.of_type("Error") == []
    assert heard.close_code == 1000
    assert recordings.word_error_rate(recordings.BECKETT, heard.transcript) < 0.2
    wait_for(lambda: stack.health()[0] == 200, BACK_WITHIN_S, "the worker to be back")
    assert stack.pids["worker"] != before
    assert sum(to - start for start, to in usage(stack, acme, heard.request_id, 1)) == (
        len(pcm) // 2 * 1000 // rate
    )


def test_health_names_the_part_that_is_down(stack: Stack) -> None:
    wait_for(lambda: stack.health()[0] == 200, BACK_WITHIN_S, "everything to be up")
    os.kill(stack.pids["worker"], signal.SIGSTOP)  # hangs: no supervisor sees that, only who listens for it
    try:
        status, lines = wait_for(lambda: _unhealthy(stack), 15, "healthz to notice")
    finally:
        os.kill(stack.pids["worker"], signal.SIGCONT)
    assert status == 503
    states = {line.split()[1].rstrip(":"): line.split()[0] for line in lines.splitlines()}
    assert states["workers"] == "down"
    assert states["database"] == "ok"
    wait_for(lambda: stack.health()[0] == 200, 15, "the worker to be back")


def test_a_killed_gateway_comes_back(stack: Stack, acme: Tenant) -> None:
    http_url, before = stack.http_url, stack.pids["gateway"]
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: _answers(f"{http_url}/healthz"), BACK_WITHIN_S, "the gateway to be back")
    wait_for(lambda: stack.pids.get("gateway") not in (None, before), 5, "its new process id")
    pcm, rate = recordings.pcm("beckett.wav")
    assert "ever failed" in sdk.transcribe(stack, acme.key, pcm, rate, realtime=False).transcript.lower()


def _unhealthy(stack: Stack) -> tuple[int, str] | None:
    found = stack.health()
    return found if found[0] == 503 else None


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=3) as response:
            return bool(response.status == 200)
    except OSError:  # also HTTPError
        return False
