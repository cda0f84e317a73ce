"""Receipts as a customer gets them: its own, as far as its key goes, and never another tenant's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.rest import access, receipts
from gateway.rest.tests.conftest import Asker, key_of
from metering.receipts import keys
from metering.receipts.issue import issue, revise
from metering.receipts.keys import good, in_use
from metering.receipts.tests.test_issue import of
from stenogate.papers import unbase64
from tenants import services
from tenants.access import Scope


@pytest.fixture
def _issued(acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of acme's own project a and b, of another project of hers c, and of the rival a."""
    monkeypatch.setenv("RECEIPT_KEYS", keys.make("2026-11"))
    own = replace(of("a"), project=acme.project.id)
    issue(acme.tenant.id, own)
    issue(acme.tenant.id, replace(of("b"), project=acme.project.id))
    issue(acme.tenant.id, replace(of("c"), project=services.create_project(acme.tenant, "Other").id))
    revise(acme.tenant.id, replace(of("a", 6000), project=acme.project.id))
    issue(rival.tenant.id, replace(of("r"), project=rival.project.id))


@pytest.fixture
def own(house: Any, acme: Any) -> Asker:
    """A key that sees its own project only."""
    return key_of(acme, [Scope.USAGE_READ])


def said(receipt: dict[str, str]) -> tuple[int, str, int]:
    body = json.loads(receipt["body"])
    return body["number"], body["request_id"], body["ms"]


@pytest.mark.usefixtures("_issued")
def test_the_last_receipt_of_a_stream_can_be_checked(ask: Asker) -> None:
    found = ask.get("/v1/receipts/a").body
    assert said(found) == (4, "a", 6000)
    assert good(in_use().public, unbase64(found["signature"], 64), found["body"])


@pytest.mark.usefixtures("_issued")
def test_who_sees_whose(ask: Asker, own: Asker, rival: Any) -> None:
    mallory = key_of(rival)
    seen = {
        name: [asker.get(f"/v1/receipts/{name}").status for asker in (ask, own, mallory)]
        for name in ("a", "c", "r", "nothing", "%00", "x" * 200)
    }
    assert seen == {
        "a": [200, 200, 404], "c": [200, 404, 404], "r": [404, 404, 200],
        "nothing": [404] * 3, "%00": [404] * 3, "x" * 200: [404] * 3,
    }  # fmt: skip
    assert ask.get("/v1/receipts/r").code == "unknown_id"
    assert key_of(rival, [Scope.BILLING_READ]).get("/v1/receipts").code == "scope_missing"


@pytest.mark.usefixtures("_issued")
def test_pages_are_newest_first_and_lines_oldest_first(
    ask: Asker, own: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask.get("/v1/receipts?limit=3").body
    second = ask.get(f"/v1/receipts?limit=3&cursor={first['next_cursor']}").body
    assert [said(one)[0] for one in (*first["receipts"], *second["receipts"])] == [4, 3, 2, 1]
    assert second["next_cursor"] is None
    monkeypatch.setattr(receipts, "AT_ONCE", 2)
    answer = ask.get("/v1/receipts?format=jsonl")
    assert answer.headers["Content-Type"] == "application/jsonl"
    assert [said(json.loads(one)) for one in answer.body.splitlines()] == [
        (1, "a", 5000), (2, "b", 5000), (3, "c", 5000), (4, "a", 6000),
    ]  # fmt: skip
    assert [said(json.loads(one))[0] for one in own.get("/v1/receipts?format=jsonl").body.splitlines()] == [
        1,
        2,
        4,
    ]


@pytest.mark.usefixtures("_issued")
def test_of_a_time_when_there_were_none_there_are_none(ask: Asker) -> None:
    assert ask.get("/v1/receipts?format=jsonl&start=2020-01-01&end=2020-01-31").body == ""
    assert ask.get("/v1/receipts?end=2020-01-31").body == {"receipts": [], "next_cursor": None}
    for query in ("start=soon", "limit=0", "cursor=x", "format=xml"):
        assert ask.get(f"/v1/receipts?{query}").code == "bad_parameter", query


def test_lines_that_cannot_be_had_now_are_refused_and_not_cut_off(
    ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "MAX_WAITING", -access.THREADS)
    answer = ask.get("/v1/receipts?format=jsonl")
    assert (answer.status, answer.code) == (503, "unavailable")


@pytest.mark.usefixtures("_issued")
def test_anybody_may_have_the_keys(house: Any) -> None:
    answer = Asker(None).get("/v1/receipts/keys")
    assert (answer.status, [key["kid"] for key in answer.body["keys"]]) == (200, ["2026-11"])
    assert unbase64(answer.body["keys"][0]["x"], 32) == in_use().public
