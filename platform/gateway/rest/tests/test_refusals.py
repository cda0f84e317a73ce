"""Whatever goes wrong has a code of docs/errors.md, and the id of its request."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.utils import timezone

from gateway import control, errors_page, tokens
from gateway.errors import Unavailable
from gateway.rest.refusals import named_error, refuse
from gateway.rest.tests.conftest import Answer, Asker, House, key_of
from tenants import errors as tenants_errors
from tenants import keytext, selectors, services
from tenants.access import TenantState
from tenants.models import APIKey
from tenants.scope import tenant_scope

CODES = {code for code, *_ in errors_page.rows()}
KEYS = {"category", "message", "details", "request_id", "err_code", "err_msg"}


def named(answer: Answer) -> tuple[int, str]:
    assert set(answer.body) == KEYS
    assert answer.code in CODES
    assert answer.body["category"] == answer.code
    assert answer.body["request_id"] == answer.headers["dg-request-id"] == answer.headers["x-request-id"]
    return answer.status, answer.code


def test_what_is_not_there_and_what_is_not_allowed_is_said(ask: Asker, acme: Any) -> None:
    assert named(ask.get("/v1/nothing")) == (404, "not_found")
    assert named(ask.get("/v1/projects/")) == (404, "not_found")
    assert named(Asker(None).get("/v1/nothing")) == (404, "not_found")
    wrong = ask("DELETE", "/v1/projects")
    assert named(wrong) == (405, "method_not_allowed")
    assert wrong.headers["Allow"] == "GET"
    assert "GET" in wrong.body["details"]


def test_a_bad_parameter_is_named_and_its_value_is_not_said(ask: Asker, acme: Any) -> None:
    answer = ask.get(f"/v1/projects/{acme.project.id}/requests?limit=0&page=sk_secret&status=odd")
    assert named(answer) == (400, "bad_parameter")
    for name in ("limit", "page", "status"):
        assert f"{name}: " in answer.body["details"]
    assert "sk_secret" not in str(answer.body)


def test_a_body_that_cannot_be_read_is_refused(ask: Asker) -> None:
    deep, long_number = b"[" * 100_000, b'{"ttl_seconds": ' + b"9" * 5000 + b"}"
    for sent in (b"{", b"\xff", deep, long_number, b"nonsense", b"7", b"[]", b"null", b"NaN"):
        assert named(ask.post("/v1/auth/grant", sent)) == (400, "bad_body"), sent[:20]


def test_a_body_too_large_is_refused(ask: Asker) -> None:
    assert named(ask.post("/v1/auth/grant", b" " * 3_000_000)) == (413, "body_too_large")


def test_a_host_that_is_not_ours_is_told_so(ask: Asker) -> None:
    assert named(ask.get("/v1/projects", Host="evil.example")) == (400, "unknown_host")
    assert named(ask.get("/v1/projects", Host="a b")) == (400, "unknown_host")


def test_what_nobody_expected_is_logged_and_not_shown(
    ask: Asker, house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("of a secret")

    monkeypatch.setattr("gateway.rest.models._known", broken)
    with caplog.at_level(logging.ERROR):
        answer = ask.get("/v1/models")
    assert named(answer) == (500, "internal_error")
    assert "secret" not in str(answer.body)
    assert answer.body["request_id"] in caplog.text


def test_answers_are_not_kept_by_anybody(ask: Asker) -> None:
    assert ask.get("/v1/models").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("cause", "status", "code"),
    [
        (tenants_errors.ProjectArchived(), 409, "project_archived"),
        (tenants_errors.ExpiryPast(), 400, "expiry_past"),
        (tenants_errors.ScopeUnknown(), 400, "scope_unknown"),
        (tenants_errors.RoleNotAllowed(), 403, "role_not_allowed"),
        (tenants_errors.KeyRevoked(), 401, "key_revoked"),
    ],
)
def test_what_tenants_refuse_keeps_its_code(cause: Exception, status: int, code: str) -> None:
    answer = refuse(RequestFactory().get("/v1/x"), cause)
    assert (answer.status_code, json.loads(answer.content)["err_code"]) == (status, code)
    assert code in CODES


def test_when_to_try_again_is_at_least_a_second() -> None:
    answer = refuse(RequestFactory().get("/v1/x"), Unavailable(retry_after_s=0.1))
    assert answer["Retry-After"] == "1"


def test_a_key_that_has_ended_says_how(house: House, acme: Any) -> None:
    key, text = services.issue_key(acme.project, name="Short")
    with tenant_scope(acme.tenant.id):
        APIKey.objects.filter(id=key.id).update(expires_at=timezone.now())
    assert named(Asker(text).get("/v1/models")) == (401, "key_expired")
    services.set_tenant_state(acme.tenant, TenantState.SUSPENDED)
    assert named(Asker(acme.secret).get("/v1/models")) == (403, "tenant_suspended")


def test_a_token_that_is_no_good_says_why(house: House, acme: Any) -> None:
    def of(age_s: int) -> str:
        return tokens.issue(
            selectors.find_key(acme.secret), ttl_s=30, now=timezone.now() - timedelta(seconds=age_s)
        )

    assert named(Asker("eyJ.nothing").get("/v1/models")) == (401, "token_malformed")
    head, said, _ = of(0).split(".")
    assert named(Asker(f"{head}.{said}.{'A' * 43}").get("/v1/models")) == (401, "token_invalid")
    assert named(Asker(of(31)).get("/v1/models")) == (401, "token_expired")
    assert named(Asker(of(0)).post("/v1/auth/grant", {})) == (403, "token_not_allowed")
    assert Asker(of(0)).get("/v1/models").status == 200


def test_an_address_with_too_many_bad_keys_waits(house: House) -> None:
    house.authenticator.failures.per_minute = 1
    assert named(Asker("nonsense").get("/v1/models")) == (401, "key_malformed")
    answer = Asker("nonsense").get("/v1/models")
    assert named(answer) == (429, "too_many_failures")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_keys_that_cannot_be_looked_up_are_not_called_bad(house: House, acme: Any) -> None:
    async def away(prefix: str) -> None:
        raise OSError

    house.authenticator.keys.find = away
    answer = Asker(acme.secret).get("/v1/models")
    assert named(answer) == (503, "control_database_unreachable")
    assert answer.headers["Retry-After"]


def test_a_key_is_not_issued_without_a_name_or_in_a_project_that_has_just_been_archived(
    house: House, acme: Any
) -> None:
    house.authenticator.keys.keep_s = 60
    ask, at = key_of(acme), f"/v1/projects/{acme.project.id}/keys"
    assert named(ask.post(at, {"comment": "  "})) == (400, "name_missing")
    # The key is remembered as good for a moment; the database knows better.
    services.archive_project(acme.project)
    assert named(ask.post(at, {"comment": "Late"})) == (409, "project_archived")


@pytest.mark.parametrize("path", ["/v1/realtime", "/v3/ws"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_address_of_a_socket_says_that_it_is_one(client: Client, method: str, path: str) -> None:
    answer = client.generic(method, path)
    assert (answer.status_code, answer["Allow"], answer["Upgrade"]) == (426, "GET", "websocket")
    assert answer.json()["err_code"] == "upgrade_required"


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (psycopg.OperationalError("connection refused at 10.0.0.1"), "control_database_unreachable"),
        (psycopg.errors.AdminShutdown("10.0.0.1"), "control_database_unreachable"),
        (psycopg.errors.QueryCanceled("SELECT of 10.0.0.1"), "unavailable"),
        (psycopg.errors.DeadlockDetected("10.0.0.1"), "unavailable"),
    ],
)
def test_a_database_that_is_away_has_a_name_and_one_that_is_busy_another(cause: Exception, code: str) -> None:
    error = OperationalError(str(cause))
    error.__cause__ = cause
    said = named_error(error)
    assert (said.code, said.status, said.retry_after_s) == (code, 503, 5)
    assert "10.0.0.1" not in said.sentence


def test_while_the_database_is_away_no_report_waits_for_it(
    house: House, acme: Any, ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = control.ControlDatabase(900)
    while not database.away:
        with pytest.raises(ConnectionRefusedError), database.noting():
            raise ConnectionRefusedError
    assert ask.secret is not None
    known = selectors.find_grant(keytext.prefix_of(ask.secret) or "")

    async def find(prefix: str) -> Any:
        return known

    monkeypatch.setattr(house.authenticator.keys, "find", find)
    assert ask.get("/v1/projects").status == 200
    monkeypatch.setattr(control, "current", lambda: database)
    answer = ask.get("/v1/projects")
    assert named(answer) == (503, "control_database_unreachable")
    assert answer.headers["Retry-After"] == "5"
