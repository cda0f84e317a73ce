"""How clients are told of another region: before anything of theirs is read, and so that they understand."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.auth import Authenticated
from gateway.consumers import ListenConsumer, StreamConsumer
from gateway.guest_consumers import AssemblyAIConsumer, RealtimeConsumer
from gateway.openings import Openings
from gateway.recorded.listen import Listen
from gateway.recorded.transcriptions import Transcriptions
from gateway.regional import Regional
from gateway.tests.doors import grant
from regions import flags
from regions.flags import RECORDED, Setting
from regions.routing import Region
from tenants.residency import Where

EU_ONLY = Where("eu", frozenset({"eu"}))


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A gateway in America, and a key that may be in Europe only."""
    regional = Regional("us")
    regional._read_at = regional.clock()
    regional.regions = {
        "eu": Region("eu", "https://eu.example.com", gateways=1, reported_room=5),
        "us": Region("us", "https://us.example.com", gateways=1, reported_room=5),
    }
    made = SimpleNamespace(
        regional=regional, openings=Openings(), admit=lambda: None, trusted_proxy=False, grant=None
    )
    made.grant = grant(where=EU_ONLY)

    async def authenticate(*_: Any, **__: Any) -> Authenticated:
        return Authenticated(made.grant, "token")

    made.authenticator = SimpleNamespace(authenticate=authenticate)
    monkeypatch.setattr("gateway.process.current", lambda: made)
    return made


async def socket(consumer: type[StreamConsumer], query: str = "") -> list[dict[str, Any]]:
    """What is said to a handshake. Nothing that the client sent is taken."""
    said: list[dict[str, Any]] = []
    taken = [{"type": "websocket.connect"}]

    async def receive() -> dict[str, Any]:
        return taken.pop()

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    scope = {"type": "websocket", "path": consumer.path, "query_string": query.encode(), "headers": []}
    await consumer()(scope, receive, send)
    return said


SOCKETS = [ListenConsumer, RealtimeConsumer, AssemblyAIConsumer]


@pytest.mark.parametrize("consumer", SOCKETS)
async def test_a_handshake_is_redirected_in_every_dialect(
    consumer: type[StreamConsumer], house: SimpleNamespace
) -> None:
    start, body = await socket(consumer, "language=en")
    headers = dict(start["headers"])
    assert start["status"] == 307
    asked = f"wss://eu.example.com{consumer.path}?language=en&redirect_token=eyJ"
    assert headers[b"location"].startswith(asked.encode())
    assert headers[b"stenogate-region"] == b"eu"
    said = json.loads(body["body"])
    assert (said["region"], said["address"]) == ("eu", "wss://eu.example.com")
    assert "region_elsewhere" in json.dumps(said)


@pytest.mark.parametrize("consumer", SOCKETS)
async def test_who_cannot_follow_is_told_by_the_close_frame(
    consumer: type[StreamConsumer], house: SimpleNamespace
) -> None:
    assert await socket(consumer, "redirect=close") == [
        {"type": "websocket.accept", "subprotocol": "token"},
        {"type": "websocket.close", "code": 4307, "reason": "wss://eu.example.com"},
    ]


async def request(application: Any, query: str = "") -> tuple[int, dict[bytes, bytes], dict[str, Any]]:
    """The answer to a POST of which nothing is read but its headers."""
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was read")

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": application.path,
        "query_string": query.encode(),
        "headers": [],
    }
    await application(scope, receive, send)
    return said[0]["status"], dict(said[0]["headers"]), json.loads(said[1]["body"])


@pytest.mark.parametrize("application", [Listen(), Transcriptions()])
async def test_a_recording_is_redirected_before_it_is_read(application: Any, house: SimpleNamespace) -> None:
    status, headers, body = await request(application, "redirect=close")
    assert status == 307
    asked = f"https://eu.example.com{application.path}?redirect=close&redirect_token=eyJ"
    assert headers[b"location"].startswith(asked.encode())
    assert headers[b"stenogate-region"] == b"eu"
    assert (body["region"], body["address"]) == ("eu", "https://eu.example.com")


@pytest.mark.parametrize(
    ("where", "query", "status", "code"),
    [
        (Where("mars", frozenset({"mars"})), "", 403, "region_forbidden"),
        (EU_ONLY, "region=us", 403, "region_forbidden"),
        (EU_ONLY, "region=mars", 400, "region_unknown"),
        (EU_ONLY, "region=MARS", 400, "bad_parameter"),
        (EU_ONLY, "redirect=maybe", 400, "bad_parameter"),
    ],
)
async def test_refusals_have_names(
    where: Where, query: str, status: int, code: str, house: SimpleNamespace
) -> None:
    house.grant = grant(where=where)
    start, body = await socket(ListenConsumer, query)
    assert (start["status"], json.loads(body["body"])["err_code"]) == (status, code)
    found, _, said = await request(Listen(), query)
    assert (found, said["err_code"]) == (status, code)


async def test_recorded_audio_can_be_switched_off(house: SimpleNamespace) -> None:
    house.grant = grant()
    off = Setting(RECORDED, "", house.grant.tenant_id, False)
    house.regional.flags = flags.flags([off])
    status, headers, body = await request(Listen())
    assert (status, body["err_code"], headers[b"retry-after"]) == (503, "recorded_off", b"60")
