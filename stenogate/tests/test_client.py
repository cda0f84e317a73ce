"""What only time brings about: silence of the recording, silence of the server."""

from __future__ import annotations

import ast
import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stenogate import client
from stenogate.errors import BrokenOffError


async def packets_with_a_pause(until: threading.Event) -> AsyncIterator[bytes]:
    yield b"\x01\x02" * 800
    await asyncio.to_thread(until.wait, 20)
    yield b"\x03\x04" * 800


def stream(fake: Any, packets: AsyncIterator[bytes]) -> Any:
    return client.transcribe(f"{fake.url}/v1/listen", "key", packets, lambda *_: None, asyncio.Event())


async def test_a_quiet_recording_keeps_the_stream_alive(
    fake_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "KEEP_ALIVE_SECONDS", 0.05)
    enough = threading.Event()

    class Texts(list[str]):
        def append(self, text: str) -> None:
            super().append(text)
            if self.count("KeepAlive") == 2:
                enough.set()

    fake_server.texts = Texts()
    outcome = await stream(fake_server, packets_with_a_pause(enough))
    assert fake_server.texts[:2] == ["KeepAlive", "KeepAlive"]
    assert fake_server.texts[-1] == "CloseStream"
    assert outcome.sent_bytes == len(fake_server.audio) == 3200


async def test_a_server_that_never_answers_is_given_up(
    fake_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENT_SECONDS", 0.1)
    over = threading.Event()

    def script(fake: Any, socket: Any) -> None:
        fake.receive_to_the_end(socket)
        over.wait(30)

    fake_server.script = script
    ended = threading.Event()
    ended.set()
    try:
        with pytest.raises(BrokenOffError, match="said nothing"):
            await asyncio.wait_for(stream(fake_server, packets_with_a_pause(ended)), 20)
    finally:
        over.set()


def test_the_client_needs_three_packages_and_nothing_else() -> None:
    imported = set()
    for path in Path(client.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"cryptography", "numpy", "stenogate", "websockets"}
