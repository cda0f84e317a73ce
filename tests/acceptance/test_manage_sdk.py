"""Deepgram's SDK on everything beside audio: tokens, projects, keys, usage, requests, models; and a second
tenant, to whom none of it is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from deepgram.core.api_error import ApiError

from tests import recordings
from tests.acceptance import sdk
from tests.acceptance.stack import Stack, wait_for
from tests.acceptance.tenant import RECORDED_WITHIN_S, Tenant, new_key, new_tenant

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

EVERYTHING = ("listen", "usage:read", "keys:read", "keys:write", "projects:read")


@pytest.fixture(scope="module")
def alice(stack: Stack) -> Tenant:
    """With a project of her own, so that its usage is what is streamed here."""
    return new_tenant(stack, "alice")


@pytest.fixture(scope="module")
def key(stack: Stack, alice: Tenant) -> str:
    return new_key(stack, alice, *EVERYTHING)


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def ours(stack: Stack, key: str, http: httpx.Client) -> Any:
    return sdk.client(stack, key, httpx_client=http)


@pytest.fixture(scope="module")
def theirs(stack: Stack, rival: Tenant, http: httpx.Client) -> Any:
    return sdk.client(stack, new_key(stack, rival, *EVERYTHING), httpx_client=http)


@pytest.fixture(scope="module")
def heard(stack: Stack, ours: Any) -> sdk.Heard:
    """A stream opened as a browser does: with a token that its server was granted."""
    granted = ours.auth.v1.tokens.grant(ttl_seconds=60)
    assert granted.expires_in == 60
    pcm, rate = recordings.pcm("beckett.wav")
    with sdk.listening(stack, granted.access_token, rate, tag="manage") as (socket, heard):
        sdk.send(socket, pcm, rate, realtime=False)
        socket.send_close_stream()
    assert heard.close_code == 1000
    heard.sent_s = len(pcm) // 2 * 1000 // rate / 1000
    return heard


def refused(status: int, code: str) -> Any:
    return pytest.raises(ApiError, match=re.compile(rf"status_code: {status}\b.*{code}", re.DOTALL))


def test_a_token_is_good_for_30_seconds_and_no_token_makes_another(
    stack: Stack, ours: Any, http: Any
) -> None:
    granted = ours.auth.v1.tokens.grant()
    assert granted.expires_in == 30
    with refused(403, "token_not_allowed"):
        sdk.client(stack, granted.access_token, httpx_client=http).auth.v1.tokens.grant()


def test_a_granted_token_opens_a_stream(heard: sdk.Heard) -> None:
    assert "ever failed" in heard.transcript.lower()


def test_projects(ours: Any, alice: Tenant) -> None:
    (project,) = ours.manage.v1.projects.list().projects
    assert (project.project_id, project.name) == (alice.project_id, "Calls")
    one = ours.manage.v1.projects.get(alice.project_id)
    assert (one.project_id, one.name, one.mip_opt_out) == (alice.project_id, "Calls", True)


def test_a_key_is_issued_used_seen_and_revoked(stack: Stack, ours: Any, alice: Tenant, http: Any) -> None:
    keys = ours.manage.v1.projects.keys
    tomorrow = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    wanted = {"comment": "One more", "scopes": ["member"], "tags": ["a", "b"],
              "expiration_date": tomorrow.isoformat()}  # fmt: skip
    made = keys.create(alice.project_id, request=wanted)
    assert made.key.startswith("sk_")
    assert (made.comment, made.tags, made.expiration_date) == ("One more", ["a", "b"], tomorrow)
    assert set(made.scopes) == {"listen", "projects:read", "usage:read"}
    assert sdk.client(stack, made.key, httpx_client=http).manage.v1.projects.list().projects

    listed = {one.api_key.api_key_id: one.api_key for one in keys.list(alice.project_id).api_keys}
    assert listed[made.api_key_id].comment == "One more"
    assert made.api_key_id in {
        one.api_key.api_key_id for one in keys.list(alice.project_id, status="active").api_keys
    }
    assert keys.list(alice.project_id, status="expired").api_keys == []
    found = keys.get(alice.project_id, made.api_key_id)
    assert found.item.member.api_key.api_key_id == made.api_key_id
    assert made.key not in found.model_dump_json()

    assert keys.delete(alice.project_id, made.api_key_id).message
    with refused(404, "unknown_id"):
        keys.get(alice.project_id, made.api_key_id)
    refusal = sdk.client(stack, made.key, httpx_client=http)
    wait_for(lambda: _status(refusal.manage.v1.projects.list) == 401, 5, "the key to be refused")


def test_usage_says_what_was_streamed(ours: Any, alice: Tenant, heard: sdk.Heard) -> None:
    usage = ours.manage.v1.projects.usage
    today = datetime.now(UTC).date()
    period = {"start": str(today - timedelta(days=1)), "end": str(today + timedelta(days=1))}

    def billed() -> list[dict[str, Any]]:
        days: list[dict[str, Any]] = usage.get(alice.project_id, **period).results
        seconds = sum(day["billed_seconds"] for day in days)
        return days if sum(day["requests"] for day in days) and seconds == pytest.approx(heard.sent_s) else []

    days = wait_for(billed, RECORDED_WITHIN_S, "all of the stream to be in the ledger")
    assert sum(day["hours"] for day in days) == pytest.approx(heard.sent_s / 3600)
    (part,) = usage.breakdown.get(alice.project_id, grouping="method", **period).results
    assert (part.grouping.method, part.requests) == ("streaming", 1)
    (part,) = usage.breakdown.get(alice.project_id, grouping="tags", **period).results
    assert part.grouping.tags == ["manage"]
    fields = usage.fields.list(alice.project_id, **period)
    assert (fields.tags, fields.processing_methods) == (["manage"], ["streaming"])
    assert fields.models[0].name
    with refused(400, "bad_parameter"):
        usage.get(alice.project_id, diarize=True)


def test_requests_are_logged(ours: Any, alice: Tenant, heard: sdk.Heard) -> None:
    requests = ours.manage.v1.projects.requests

    def listed() -> list[Any]:
        found: list[Any] = requests.list(alice.project_id, limit=10, page=0, status="succeeded").requests
        return found

    (one,) = wait_for(listed, RECORDED_WITHIN_S, "the request to be logged")
    assert (one.request_id, one.project_uuid, one.path) == (heard.request_id, alice.project_id, "/v1/listen")
    assert (one.code, one.deployment) == (200, "self-hosted")
    assert one.response["details"]["duration"] == heard.sent_s
    assert requests.get(alice.project_id, heard.request_id).request == one
    midnight = datetime.now(UTC) - timedelta(days=1)
    assert len(requests.list(alice.project_id, start=midnight, end=datetime.now(UTC)).requests) == 1
    assert requests.list(alice.project_id, status="failed").requests == []


def test_balances_are_none(ours: Any, alice: Tenant) -> None:
    assert ours.manage.v1.projects.billing.balances.list(alice.project_id).balances == []
    with refused(404, "unknown_id"):
        ours.manage.v1.projects.billing.balances.get(alice.project_id, "none")


def test_models(ours: Any, alice: Tenant) -> None:
    everywhere, of_project = (
        ours.manage.v1.models.list(),
        ours.manage.v1.projects.models.list(alice.project_id),
    )
    assert everywhere.stt == of_project.stt
    (model, *_) = everywhere.stt
    assert model.streaming
    assert ours.manage.v1.models.get(model.uuid_).name == model.name
    assert ours.manage.v1.projects.models.get(alice.project_id, model.name).uuid_ == model.uuid_


def test_another_tenant_sees_nothing_of_it(
    theirs: Any, alice: Tenant, rival: Tenant, heard: sdk.Heard
) -> None:
    projects = theirs.manage.v1.projects
    assert [one.project_id for one in projects.list().projects] == [rival.project_id]
    of_alice = alice.project_id
    for ask in (
        lambda: projects.get(of_alice),
        lambda: projects.keys.list(of_alice),
        lambda: projects.keys.create(of_alice, request={"comment": "Mine", "scopes": ["listen"]}),
        lambda: projects.keys.delete(of_alice, "00000000-0000-4000-8000-000000000000"),
        lambda: projects.usage.get(of_alice),
        lambda: projects.usage.breakdown.get(of_alice),
        lambda: projects.usage.fields.list(of_alice),
        lambda: projects.requests.list(of_alice),
        lambda: projects.requests.get(of_alice, heard.request_id),
        lambda: projects.requests.get(rival.project_id, heard.request_id),
        lambda: projects.billing.balances.list(of_alice),
        lambda: projects.models.list(of_alice),
    ):
        with refused(404, "unknown_id"):
            ask()


def _status(ask: Any) -> int | None:
    try:
        ask()
    except ApiError as error:
        return error.status_code
    return 200
