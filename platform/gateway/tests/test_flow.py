from __future__ import annotations

import asyncio
from typing import Any

from gateway.flow import MAX_QUEUED_BYTES, MAX_QUEUED_MESSAGES, Inbox, Outlet


class Transport:
    disconnecting = False

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")


def frame(size: int) -> dict[str, Any]:
    return {"type": "websocket.receive", "bytes": b"x" * size}


async def test_a_socket_is_read_no_further_while_its_application_is_behind() -> None:
    transport = Transport()
    inbox = Inbox(transport)
    inbox.put_nowait(frame(MAX_QUEUED_BYTES))
    assert transport.calls == []
    inbox.put_nowait(frame(1))
    inbox.put_nowait(frame(1))
    assert transport.calls == ["pause"]
    await inbox.get()
    await inbox.get()
    assert transport.calls == ["pause", "resume"]


async def test_many_small_frames_count_too() -> None:
    transport = Transport()
    inbox = Inbox(transport)
    for _ in range(MAX_QUEUED_MESSAGES + 1):
        inbox.put_nowait({"type": "websocket.receive", "text": ""})
    assert transport.calls == ["pause"]


async def test_a_transport_that_is_closing_is_not_told_to_read() -> None:
    transport = Transport()
    inbox = Inbox(transport)
    inbox.put_nowait(frame(MAX_QUEUED_BYTES + 1))
    inbox.put_nowait({"type": "websocket.disconnect", "code": 1006})
    transport.disconnecting = True
    await inbox.get()
    assert (await inbox.get())["type"] == "websocket.disconnect"
    assert transport.calls == ["pause"]


async def test_whoever_writes_waits_until_the_client_reads() -> None:
    outlet = Outlet()
    outlet.pauseProducing()
    writing = asyncio.create_task(outlet.open.wait())
    await asyncio.sleep(0)
    assert not writing.done()
    outlet.resumeProducing()
    await asyncio.wait_for(writing, 5)
    outlet.pauseProducing()
    outlet.stopProducing()
    assert outlet.open.is_set()
