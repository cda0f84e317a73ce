from __future__ import annotations

import asyncio
from typing import Any

from gateway.events import Finalize
from gateway.flow import (
    ACCEPTED_AT_ONCE,
    MAX_QUEUED_BYTES,
    MAX_QUEUED_MESSAGES,
    Entrance,
    Inbox,
    Outlet,
)
from gateway.lane import Lane
from gateway.session import MAX_FLUSHES_WAITING, MAX_MESSAGES_WAITING, Features, Limits, Session, State
from wire.messages import Final, Flushed


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


def test_who_left_is_known_before_what_they_sent_is_handled() -> None:
    inbox = Inbox(Transport())
    gone: list[int] = []
    inbox.when_gone = gone.append
    inbox.put_nowait({"type": "websocket.receive", "bytes": b"a"})
    assert gone == []
    inbox.put_nowait({"type": "websocket.disconnect", "code": 1006})
    assert gone == [1006]


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


def test_of_what_waits_for_a_client_to_read_only_the_last_is_said() -> None:
    outlet, said = Outlet(), []
    outlet.say(lambda: said.append(1))
    outlet.pauseProducing()
    for number in (2, 3, 4):
        outlet.say(lambda number=number: said.append(number))
    assert said == [1]
    outlet.resumeProducing()
    outlet.resumeProducing()
    assert said == [1, 4]


# ---- what a session takes in while others are behind


def session() -> Session:
    limits = Limits(idle_s=10, max_s=3600, window_s=20, usage_every_s=5)
    return Session(lanes=(Lane("s"),), limits=limits, features=Features(interim_results=True), now=0.0)


def test_a_client_that_asks_for_finals_without_end_is_read_no_further() -> None:
    stream = session()
    for _ in range(MAX_FLUSHES_WAITING):
        assert not stream.window_full
        stream.receive(Finalize(), 0)
    assert stream.window_full
    stream.receive_from_worker(Flushed(stream="s", epoch=1, token=1))
    assert not stream.window_full


def test_a_client_that_does_not_read_is_read_no_further_and_is_not_idle_meanwhile() -> None:
    stream = session()
    for index in range(MAX_MESSAGES_WAITING):
        assert not stream.window_full
        stream.receive_from_worker(Final(stream="s", epoch=1, index=index, start_ms=0, end_ms=1, words=()))
    assert stream.window_full
    stream.tick(11)
    assert stream.state is State.OPEN
    stream.next_message_to_send()
    assert not stream.window_full


class Port:
    """Twisted's, with connections that wait."""

    connected, disconnecting, numberAccepts = True, False, 100

    def __init__(self, waiting: int) -> None:
        self.waiting, self.reads = waiting, True
        self.accepted: list[int] = []

    def doRead(self) -> None:
        accepted = min(self.waiting, self.numberAccepts)
        self.waiting -= accepted
        self.accepted.append(accepted)
        self.numberAccepts = self.numberAccepts + 20 if accepted == self.numberAccepts else max(1, accepted)

    def stopReading(self) -> None:
        self.reads = False

    def startReading(self) -> None:
        self.reads = True


def test_a_crowd_is_accepted_by_a_few_with_pauses_between() -> None:
    port, later = Port(waiting=2 * ACCEPTED_AT_ONCE + 1), []
    Entrance(port, lambda seconds, what: later.append(what))
    for _ in range(2):
        port.doRead()
        assert not port.reads
        later.pop()()
        assert port.reads
    port.doRead()
    assert port.reads
    assert port.accepted == [ACCEPTED_AT_ONCE, ACCEPTED_AT_ONCE, 1]
    assert later == []


def test_a_port_that_was_closed_in_the_pause_stays_closed() -> None:
    port, later = Port(waiting=99), []
    Entrance(port, lambda seconds, what: later.append(what))
    port.doRead()
    port.disconnecting = True
    later.pop()()
    assert not port.reads
