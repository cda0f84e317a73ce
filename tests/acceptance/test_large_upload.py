"""Half a gigabyte at once: it goes to the disk as it comes, and through the worker as fast as that hears."""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.acceptance.stack import Stack
from tests.acceptance.tenant import Tenant

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

BLOCK = bytes(2**20)
MEGABYTES = 500
# The windows of sockets and of one stream, buffers of libav, blocks on their way to the disk.
MAX_GROWTH = 48 * 2**20
RATE, CHANNELS = 48_000, 8


def resident(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found.group(1)) * 1024


@contextmanager
def bounded_memory(pid: int) -> Iterator[None]:
    """What the process holds at any moment of it is little more than what it held before."""
    before = most = resident(pid)
    over = threading.Event()

    def look() -> None:
        nonlocal most
        while not over.wait(0.02):
            most = max(most, resident(pid))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()
    assert most - before < MAX_GROWTH, f"{(most - before) >> 20} MB more"


def silent_wav() -> Iterator[bytes]:
    """Eight channels of doubles: three minutes of a studio that nobody has entered."""
    block = CHANNELS * 8
    form = struct.pack("<HHIIHH", 3, CHANNELS, RATE, RATE * block, block, 64)
    size = MEGABYTES * 2**20
    yield b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt " + struct.pack("<I", 16) + form
    yield b"data" + struct.pack("<I", size)
    for _ in range(MEGABYTES):
        yield BLOCK


def a_form(head: bytes) -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + head
    for _ in range(MEGABYTES):
        yield BLOCK
    yield b"\r\n--b--\r\n"


def test_a_large_recording_is_heard_in_little_memory(stack: Stack, acme: Tenant) -> None:
    headers = {"Authorization": f"Token {acme.key}"}
    # What it needs once for any recording is not what this is about.
    small = httpx.post(
        f"{stack.http_url}/v1/listen?encoding=linear16", headers=headers, content=BLOCK, timeout=60
    )
    assert small.status_code == 200
    with bounded_memory(stack.pids["gateway"]):
        answer = httpx.post(f"{stack.http_url}/v1/listen", headers=headers, content=silent_wav(), timeout=200)
    assert answer.status_code == 200, answer.text
    seconds = MEGABYTES * 2**20 / (RATE * CHANNELS * 8)
    assert abs(answer.json()["metadata"]["duration"] - seconds) < 0.001


def test_a_large_form_that_is_no_recording_is_refused_in_little_memory(stack: Stack, acme: Tenant) -> None:
    headers = {"Authorization": f"Bearer {acme.key}", "Content-Type": "multipart/form-data; boundary=b"}
    with bounded_memory(stack.pids["gateway"]):
        url = f"{stack.http_url}/v1/audio/transcriptions"
        answer = httpx.post(url, headers=headers, content=a_form(b"hello"), timeout=120)
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "bad_audio"
