"""The socket's shell with everything real but the link."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway import consumers, session
from gateway.auth import Authenticator, Failures, KeyCache
from gateway.door import OpenDoor
from gateway.errors import GatewayDraining, NoWorker
from gateway.outbound import Outbound
from gateway.process import Process
from gateway.resume import token
from gateway.resume.keeper import Keeper, Resumption
from gateway.resume.state import Record, Stand
from gateway.resume.tests.marks import lane, mark
from gateway.resume.tests.marks import token as make_token
from gateway.session import Limits
from gateway.stream import Stream
from gateway.streams import Streams
from gateway.tests.hand_link import HandLink, until
from metering.emit import Emitter
from metering.requests import parse as parse_request
from tenants import keytext
from tenants.access import KeyGrant
from wire.messages import Abort, Audio, End, Final, Flush, ToGateway

PREFIX, SECRET = keytext.generate()
GRANT = KeyGrant(
    tenant_id=uuid.uuid4(),
    project_id=uuid.uuid4(),
    key_id=uuid.uuid4(),
    prefix=PREFIX,
    sha256=keytext.digest(SECRET),
    scopes=frozenset({"listen"}),
    expires_at=None,
    revoked_at=None,
    allowed_origins=frozenset(),
    tenant_state="active",
)
DEADLINE_S = 5.0


class Socket:
    """What Daphne is to a consumer."""

    def __init__(self, house: Process, more: str = "") -> None:
        self.house = house
        self.said: list[dict[str, Any]] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.inbox.put_nowait({"type": "websocket.connect"})
        headers = [(b"authorization", b"Token " + SECRET.encode())]
        scope = {"headers": headers, "query_string": b"encoding=linear16" + more.encode()}
        self.task = asyncio.ensure_future(consumers.ListenConsumer()(scope, self.inbox.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            await self.reads.wait()
        self.said.append(message)

    async def until_said(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            while not (found := [message for message in self.said if message["type"] == kind]):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        return found[0]


@pytest.fixture
def link() -> HandLink:
    return HandLink()


@pytest.fixture
def house(link: HandLink, monkeypatch: pytest.MonkeyPatch) -> Process:
    async def find(prefix: str) -> KeyGrant | None:
        return GRANT if prefix == PREFIX else None

    made = Process(
        region="test",
        link=link,  # type: ignore[arg-type]
        streams=Streams(),
        authenticator=Authenticator(KeyCache(find=find, keep_s=5), Failures(per_minute=10)),
        admission=OpenDoor(),
        usage=Emitter(),
        callbacks=Emitter(),
        outbound=Outbound(),
        limits=Limits(idle_s=10, max_s=60, window_s=1, usage_every_s=5),
        max_streams=2,
        trusted_proxy=False,
    )
    monkeypatch.setattr("gateway.process.current", lambda: made)
    return made


async def gone(socket: Socket, house: Process, link: HandLink) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(socket.task, return_exceptions=True)
    assert len(house.streams) == 0
    assert link.open_now == set()


async def test_a_key_revoked_while_its_stream_is_being_opened_opens_nothing(
    house: Process, link: HandLink
) -> None:
    link.gate.clear()
    socket = Socket(house)
    await until(lambda: link.waiting == 1)
    house.streams.apply([replace(GRANT, revoked_at=datetime(2020, 1, 1, tzinfo=UTC))], datetime.now(UTC))
    link.gate.set()
    refused = await socket.until_said("websocket.http.response.start")
    assert refused["status"] == 401
    await gone(socket, house, link)
    assert [type(item) for item in link.sent] == [Abort]


async def test_a_handshake_too_many_is_refused_before_its_key_is_looked_at(
    house: Process, link: HandLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.openings.max_handshakes = 1
    link.gate.clear()
    first = Socket(house)
    await until(lambda: link.waiting == 1)
    monkeypatch.setattr(house, "authenticator", None)
    second = Socket(house)
    refused = await second.until_said("websocket.http.response.start")
    assert refused["status"] == 503
    assert int(dict(refused["headers"])[b"retry-after"]) >= 1
    assert b'"overloaded"' in (await second.until_said("websocket.http.response.body"))["body"]
    link.gate.set()
    await first.until_said("websocket.accept")
    first.inbox.put_nowait({"type": "websocket.disconnect", "code": 1006})
    await gone(first, house, link)
    assert house.openings.handshakes == 0


async def test_a_stream_on_hold_whose_worker_does_not_finish_is_closed_in_time_all_the_same(
    house: Process, link: HandLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before anything else would have woken it."""
    monkeypatch.setattr(session, "WIND_UP_S", 0.05)
    socket = Socket(house)
    await socket.until_said("websocket.accept")
    house.streams.apply([replace(GRANT, hold="spend_cap")], datetime.now(UTC))
    closed = await socket.until_said("websocket.close")
    assert (closed["code"], closed["reason"]) == (1008, "spend_cap_reached")
    socket.inbox.put_nowait({"type": "websocket.disconnect", "code": 1008})
    await gone(socket, house, link)
    assert [type(item) for item in link.sent] == [Flush, End, Abort]


async def test_a_handshake_during_a_stop_is_refused_by_name_and_waited_for(
    house: Process, link: HandLink
) -> None:
    link.gate.clear()
    socket = Socket(house)
    await until(lambda: link.waiting == 1)
    house.draining = True
    house.streams.fail_all(GatewayDraining())
    assert not await house.streams.all_gone(0.01)
    link.gate.set()
    assert await house.streams.all_gone(DEADLINE_S)
    refused = await socket.until_said("websocket.http.response.start")
    assert refused["status"] == 503
    await gone(socket, house, link)


async def test_streams_that_are_being_opened_count(house: Process, link: HandLink) -> None:
    link.gate.clear()
    sockets = [Socket(house) for _ in range(5)]
    await asyncio.gather(*(socket.until_said("websocket.http.response.start") for socket in sockets[2:]))
    link.gate.set()
    for socket in sockets[:2]:
        await socket.until_said("websocket.accept")
    for socket in sockets:
        socket.inbox.put_nowait({"type": "websocket.disconnect", "code": 1006})
        await asyncio.gather(socket.task)
    await gone(sockets[0], house, link)


async def test_a_client_that_hangs_up_while_it_waits_leaves_nothing_behind(
    house: Process, link: HandLink
) -> None:
    link.gate.clear()
    socket = Socket(house)
    await until(lambda: link.waiting == 1)
    socket.task.cancel()
    await gone(socket, house, link)


async def test_an_application_that_is_killed_frees_its_stream(house: Process, link: HandLink) -> None:
    socket = Socket(house)
    await socket.until_said("websocket.accept")
    # More than the window: the consumer waits for the worker and does not see that the client has left.
    socket.inbox.put_nowait({"type": "websocket.receive", "bytes": b"\0\0" * 32_000})
    async with asyncio.timeout(DEADLINE_S):
        while not any(isinstance(item, Audio) for item in link.sent):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    socket.task.cancel()
    await gone(socket, house, link)
    assert isinstance(link.sent[-1], Abort)


async def test_a_client_that_does_not_read_is_closed_once_and_its_slot_is_freed(
    house: Process, link: HandLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "CLIENT_STALL_S", 0.2)
    socket = Socket(house)
    await socket.until_said("websocket.accept")
    socket.reads.clear()
    ((_, stream),) = link.open_now
    said: list[ToGateway] = [
        Final(stream=stream, epoch=1, index=index, start_ms=0, end_ms=1, words=()) for index in range(100)
    ]
    for item in said:
        link.receiver.receive_from_worker(item)
    closed = await socket.until_said("websocket.close")
    assert (closed["code"], closed["reason"]) == (1008, "client_too_slow")
    assert isinstance(link.sent[-1], Abort)
    assert link.open_now == set()
    socket.inbox.put_nowait({"type": "websocket.disconnect", "code": 1008})
    await gone(socket, house, link)


async def test_a_stream_that_was_accepted_is_told_in_the_request_log_and_a_refused_one_is_not(
    house: Process, link: HandLink
) -> None:
    taken: list[tuple[str, dict[str, Any]]] = []
    house.usage = Emitter(lambda task, records: taken.extend((task, record) for record in records))
    house.usage.start()
    house.max_streams = 1
    socket = Socket(house)
    await socket.until_said("websocket.accept")
    refused = Socket(house)
    await refused.until_said("websocket.http.response.start")
    socket.inbox.put_nowait({"type": "websocket.disconnect", "code": 1006})
    await gone(socket, house, link)
    assert await house.usage.stop(DEADLINE_S) == 0
    [(task, entry)] = taken
    assert task == "metering.record_requests"
    assert (entry["outcome"], entry["path"], entry["kind"]) == ("client_left", "/v1/listen", "live")
    assert (entry["tenant"], entry["key"]) == (str(GRANT.tenant_id), str(GRANT.key_id))
    assert parse_request(entry).request_id == entry["request_id"]


# ---- coming back


class Claimed(Keeper):
    """What is shown is always good."""

    def __init__(self) -> None:
        self.logged: list[Any] = []
        self.back: list[Resumption] = []
        super().__init__(None, 60.0, self.logged.extend)  # type: ignore[arg-type]  # nothing is written

    async def claim(self, shown: token.Token, grant: KeyGrant, last_seq: int | None) -> Resumption:
        return Resumption(shown.stream, 2, shown.opened_at, Record(Stand(shown.mark, 0)), None, ())

    def give_back(self, resumption: Resumption) -> None:
        self.back.append(resumption)


@pytest.fixture
def keeper(house: Process) -> Claimed:
    house.keeper = Claimed()
    return house.keeper


def accepted(message: dict[str, Any]) -> dict[bytes, bytes]:
    return dict(message["headers"])


async def test_the_handshake_says_how_to_come_back_where_one_can(house: Process, keeper: Claimed) -> None:
    headers = accepted(await Socket(house).until_said("websocket.accept"))
    shown = token.read(headers[b"stenogate-resume-token"].decode())
    assert (shown.stream, shown.generation) == (headers[b"dg-request-id"].decode(), 1)
    assert headers[b"stenogate-resume-from-ms"] == b"0"
    house.keeper = None
    assert set(accepted(await Socket(house).until_said("websocket.accept"))) == {b"dg-request-id"}


async def test_who_comes_back_has_the_same_id_and_is_told_from_where_on(
    house: Process, keeper: Claimed
) -> None:
    before = make_token(GRANT, mark=mark(3, lane(start_ms=4_000, input_ms=9_000)))
    socket = Socket(house, f"&resume_token={token.issue(before)}")
    headers = accepted(await socket.until_said("websocket.accept"))
    assert headers[b"dg-request-id"] == before.stream.encode()
    assert headers[b"stenogate-resume-from-ms"] == b"4000"
    said = json.loads((await socket.until_said("websocket.send"))["text"])
    assert (said["type"], said["request_id"], said["next_seq"]) == ("Resume", before.stream, 3)
    assert token.read(said["resume_token"]).generation == 2


async def test_who_cannot_come_back_is_told_why_in_the_handshake(house: Process, keeper: Claimed) -> None:
    socket = Socket(house, "&resume_token=x")
    refused = await socket.until_said("websocket.http.response.start")
    assert refused["status"] == 400
    body = json.loads((await socket.until_said("websocket.http.response.body"))["body"])
    assert body["err_code"] == "resume_bad_token"


async def test_what_was_claimed_for_nothing_is_given_back(
    house: Process, keeper: Claimed, link: HandLink
) -> None:
    link.refusal = NoWorker()
    socket = Socket(house, f"&resume_token={token.issue(make_token(GRANT))}")
    refused = await socket.until_said("websocket.http.response.start")
    assert refused["status"] == 503
    assert [one.generation for one in keeper.back] == [2]
    await gone(socket, house, link)


@pytest.mark.parametrize(("code", "for_good"), [(1000, True), (1005, True), (1001, False), (None, False)])
async def test_who_closes_the_socket_properly_is_done_and_who_is_cut_off_is_not(
    house: Process, keeper: Claimed, link: HandLink, code: int | None, for_good: bool
) -> None:
    socket = Socket(house)
    await socket.until_said("websocket.accept")
    socket.inbox.put_nowait({"type": "websocket.disconnect", "code": code})
    await gone(socket, house, link)
    assert len(keeper._parked) == (not for_good)
    assert house.usage.waiting == for_good  # the entry of the request log


async def test_a_client_that_left_with_much_unread_is_left_at_once(
    house: Process, keeper: Claimed, link: HandLink
) -> None:
    """A socket that its client is not on any more is blocked; the one that it came back on is not."""
    socket = Socket(house)
    await socket.until_said("websocket.accept")
    socket.reads.clear()
    (stream,) = house.streams.all()
    link.receiver.receive_from_worker(
        Final(stream=link.asked[0].stream, epoch=1, index=0, start_ms=0, end_ms=1, words=())
    )
    assert isinstance(stream, Stream)
    assert stream.visit is not None
    await asyncio.sleep(0)
    stream.visit.let_go()
    assert len(house.streams) == 0
    assert link.open_now == set()
    assert len(keeper._parked) == 1
    socket.reads.set()
    closed = await socket.until_said("websocket.close")
    assert (closed["code"], closed["reason"]) == (4409, "resumed_elsewhere")
    socket.inbox.put_nowait({"type": "websocket.disconnect", "code": 4409})
    await gone(socket, house, link)
