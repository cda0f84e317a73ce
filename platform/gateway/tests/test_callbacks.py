from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from ipaddress import ip_network

import pytest

from gateway import callbacks
from gateway.callbacks import LONGEST_PAUSE_S, TRY_FOR_S, Callback, next_try_s, secret_of, send
from gateway.outbound import Outbound
from tests.receiver import Answer, Asked, receiver

PROJECT = uuid.UUID(int=7)
OUTBOUND = Outbound((ip_network("127.0.0.1/32"),))


def what(url: str = "https://example.com/", **changes: object) -> Callback:
    fields = {"project": str(PROJECT), "request_id": "r-1", "number": 3, "url": url, "method": "post",
              "body": '{"transcript":"said in confidence"}', "created": 1000.0}  # fmt: skip
    return Callback(**{**fields, **changes})  # type: ignore[arg-type]


def signed_by(secret: str, asked: Asked) -> bool:
    """As a customer would check it, from the specification and with nothing of ours."""
    key = base64.b64decode(secret[len("whsec_") :])
    said = ".".join((asked.headers["webhook-id"], asked.headers["webhook-timestamp"])) + "."
    wanted = hmac.new(key, said.encode() + asked.body, hashlib.sha256).digest()
    version, _, signature = asked.headers["webhook-signature"].partition(",")
    return version == "v1" and hmac.compare_digest(base64.b64decode(signature), wanted)


async def test_what_is_sent_is_signed_with_the_secret_of_the_project() -> None:
    with receiver() as server:
        assert await send(what(server.url("/hook?a=1")), OUTBOUND, now=1234.5)
        assert await send(what(server.url("/hook"), method="put"), OUTBOUND, now=2345.6)
    first, second = server.asked
    assert (first.method, first.path, second.method) == ("POST", "/hook?a=1", "PUT")
    assert first.body == b'{"transcript":"said in confidence"}'
    assert first.headers["content-type"] == "application/json"
    assert (first.headers["webhook-timestamp"], second.headers["webhook-timestamp"]) == ("1234", "2345")
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == "msg_r-1_3"
    assert signed_by(secret_of(PROJECT), first)
    assert signed_by(secret_of(PROJECT), second)
    assert not signed_by(secret_of(uuid.UUID(int=8)), first)


def test_a_secret_is_a_project_s_own_and_stays_the_same() -> None:
    assert secret_of(PROJECT) == secret_of(str(PROJECT))
    assert secret_of(PROJECT) != secret_of(uuid.UUID(int=8))
    assert len(base64.b64decode(secret_of(PROJECT).removeprefix("whsec_"))) == 32
    with pytest.raises(ValueError, match="badly formed"):
        secret_of("not a project")


@pytest.mark.parametrize("status", [200, 204, 299])
async def test_taken(status: int) -> None:
    with receiver(lambda asked: Answer(status)) as server:
        assert await send(what(server.url()), OUTBOUND, 0)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
async def test_to_be_tried_again(status: int) -> None:
    with receiver(lambda asked: Answer(status)) as server:
        assert not await send(what(server.url()), OUTBOUND, 0)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410])
async def test_meant_for_ever(status: int, caplog: pytest.LogCaptureFixture) -> None:
    with receiver(lambda asked: Answer(status, {"Location": "/elsewhere"})) as server:
        assert await send(what(server.url("/secret-path")), OUTBOUND, 0)
    assert len(server.asked) == 1
    assert f"callback 3 of r-1: given up, status {status}" in caplog.text


async def test_nobody_there_is_tried_again_and_no_log_says_what_was_to_be_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    with receiver() as server:
        url = server.url("/secret-path")
    assert not await send(what(url), OUTBOUND, 0)
    assert "callback 3 of r-1" in caplog.text
    assert "secret-path" not in caplog.text
    assert "confidence" not in caplog.text


async def test_a_name_that_leads_inside_by_now_is_given_up() -> None:
    assert await send(what("http://127.0.0.1:8000/"), Outbound(), 0)


def test_tries_are_further_and_further_apart_until_a_day_has_passed() -> None:
    now, pauses = 1000.0, []
    while (pause := next_try_s(what(attempt=len(pauses)), now, chance=0.5)) is not None:
        pauses.append(pause)
        now += pause
    assert pauses[:4] == [7.5, 12.5, 22.5, 42.5]
    assert max(pauses) < LONGEST_PAUSE_S
    assert TRY_FOR_S - LONGEST_PAUSE_S <= now - 1000 <= TRY_FOR_S
    assert len(pauses) < 150
    # Not all at the same moment after an outage.
    assert (next_try_s(what(), 1000, 0.0), next_try_s(what(), 1000, 1.0)) == (5, 10)


def test_it_survives_the_way_through_celery() -> None:
    assert callbacks.Callback(**what().as_dict()) == what()
