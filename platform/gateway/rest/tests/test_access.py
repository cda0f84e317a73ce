"""Who may ask what: every operation there is, with every key that must not."""

from __future__ import annotations

import asyncio
import base64
import uuid
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
from django.db import OperationalError

from gateway.errors import LimitReached, Unavailable
from gateway.rest import access
from gateway.rest.api import api
from gateway.rest.tests.conftest import Asker, House, key_of
from metering.tasks import record_requests
from metering.tests.test_tasks import request as log_entry
from tenants import services
from tenants.access import Scope
from tenants.scope import tenant_scope

EVERYTHING = [
    ("/v1" + path, method, operation)
    for router in api._get_bound_routers()
    for path, view in router.path_operations.items()
    for operation in view.operations
    for method in operation.methods
]
# Anybody may have the keys that receipts are checked with.
OPERATIONS = [one for one in EVERYTHING if one[2].auth_callbacks]
OF_PROJECTS = [one for one in OPERATIONS if "project_id" in one[0]]
SCOPED = [one for one in OPERATIONS if one[2].auth_callbacks[0].scope is not None]
NO_IDS = ["x", "0", "%00", "%2e%2e", "a" * 300, "ü"]
BODIES: dict[tuple[str, str], Any] = {("POST", "/v1/projects/{project_id}/keys"): {"comment": "New"}}


def each(operations: list[Any]) -> pytest.MarkDecorator:
    ids = [f"{method} {path}" for path, method, _ in operations]
    return pytest.mark.parametrize(("path", "method", "operation"), operations, ids=ids)


def fill(path: str, household: Any, **ids: str) -> str:
    known = {
        "project_id": str(household.project.id),
        "key_id": str(household.key.id),
        "request_id": "r",
        "number": "current",
    }
    for name, value in {**known, "balance_id": str(uuid.uuid4()), "model_id": "m", **ids}.items():
        path = path.replace(f"{{{name}}}", value).replace(f"{{path:{name}}}", value)
    assert "{" not in path
    return path


def send(ask: Asker, method: str, path: str, at: str) -> Any:
    return ask(method, at, BODIES.get((method, path)))


def test_there_are_operations() -> None:
    assert len(OPERATIONS) >= 26
    assert [path for path, _, one in EVERYTHING if not one.auth_callbacks] == ["/v1/receipts/keys"]


@each(OPERATIONS)
def test_without_a_good_key_nothing_is_answered(
    house: House, acme: Any, path: str, method: str, operation: Any
) -> None:
    at = fill(path, acme)
    answer = send(Asker(None), method, path, at)
    assert (answer.status, answer.code) == (401, "key_missing")
    assert answer.headers["WWW-Authenticate"] == "Token"
    assert send(Asker("nonsense"), method, path, at).code == "key_malformed"
    unknown = acme.secret[:-1] + ("A" if acme.secret[-1] != "A" else "B")
    assert send(Asker(unknown), method, path, at).code == "key_unknown"


@each(SCOPED)
def test_a_key_without_the_scope_is_refused(
    house: House, acme: Any, path: str, method: str, operation: Any
) -> None:
    needed = operation.auth_callbacks[0].scope
    lacking = key_of(acme, [scope for scope in Scope if scope is not needed])
    answer = send(lacking, method, path, fill(path, acme))
    assert (answer.status, answer.code) == (403, "scope_missing")
    assert repr(needed.value) in answer.body["err_msg"]


@each(OF_PROJECTS)
def test_of_another_tenant_nothing_is_there(
    ask: Asker, acme: Any, rival: Any, path: str, method: str, operation: Any
) -> None:
    record_requests([log_entry(acme, "r"), log_entry(rival, "theirs")])
    answer = send(ask, method, path, fill(path, rival))
    nobody = send(ask, method, path, fill(path, rival, project_id=str(uuid.uuid4())))
    assert (answer.status, answer.code) == (404, "unknown_id")
    assert (nobody.status, nobody.code, nobody.body["err_msg"]) == (404, "unknown_id", answer.body["err_msg"])
    # Its keys and requests are not found through a project of ours either.
    if "key_id" in path or "request_id" in path:
        mixed = fill(path, acme, key_id=str(rival.key.id), request_id="theirs")
        assert send(ask, method, path, mixed).code == "unknown_id"
    with tenant_scope(rival.tenant.id):
        rival.key.refresh_from_db()
        assert rival.key.revoked_at is None


@each(OF_PROJECTS)
def test_what_is_no_id_is_not_there(ask: Asker, acme: Any, path: str, method: str, operation: Any) -> None:
    for id_ in NO_IDS:
        assert send(ask, method, path, fill(path, acme, project_id=id_)).code == "unknown_id"
        if "key_id" in path or "request_id" in path:
            assert send(ask, method, path, fill(path, acme, key_id=id_, request_id=id_)).code == "unknown_id"


def test_a_revoked_key_is_refused(house: House, acme: Any) -> None:
    key, text = services.issue_key(acme.project, name="Gone", scopes=list(Scope))
    services.revoke_key(key)
    assert Asker(text).get("/v1/projects").code == "key_revoked"


def test_another_project_is_seen_with_projects_read_and_changed_never(ask: Asker, acme: Any) -> None:
    other = services.create_project(acme.tenant, "Other")
    key, _ = services.issue_key(other, name="Of the other")
    everything = [scope for scope in Scope if scope is not Scope.PROJECTS_READ]
    blind = key_of(acme, everything)
    keys = f"/v1/projects/{other.id}/keys"
    assert blind.get(keys).code == "unknown_id"
    assert blind.get(f"/v1/projects/{acme.project.id}/keys").status == 200
    assert [one["api_key"]["comment"] for one in ask.get(keys).body["api_keys"]] == ["Of the other"]
    assert ask.get(f"/v1/projects/{other.id}/usage").status == 200
    assert ask.post(keys, {"comment": "New"}).code == "other_project"
    assert ask("DELETE", f"{keys}/{key.id}").code == "other_project"
    assert len(ask.get(keys).body["api_keys"]) == 1


def test_a_key_may_come_in_any_of_the_usual_ways(ask: Asker, acme: Any) -> None:
    basic = base64.b64encode(f"{ask.secret}:".encode()).decode()
    for header in (f"Token {ask.secret}", f"bearer {ask.secret}", f"Basic {basic}"):
        assert Asker(None).get("/v1/projects", Authorization=header).status == 200


def test_an_origin_that_the_key_does_not_allow_is_refused(house: House, acme: Any) -> None:
    key = key_of(acme, allowed_origins=["https://app.example.com"])
    assert key.get("/v1/models", Origin="https://evil.example").code == "origin_not_allowed"
    assert key.get("/v1/models", Origin="https://app.example.com").status == 200


def test_requests_are_limited_by_the_house(ask: Asker, house: House) -> None:
    class Full:
        async def request(self, grant: Any) -> None:
            raise LimitReached("Ten a second.", retry_after_s=0.4)

    house.admission = Full()  # type: ignore[assignment]
    answer = ask.get("/v1/projects")
    assert answer.status == 429
    assert answer.headers["Retry-After"] == "1"


def test_work_that_waits_is_bounded(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_under_way", access.THREADS + access.MAX_WAITING)
    answer = ask.get("/v1/projects")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert answer.headers["Retry-After"]


@pytest.mark.usefixtures("house")
def test_no_report_waits_behind_those_who_wait_for_somebody_elses_server() -> None:
    answered = Event()

    async def ask_all() -> None:
        waiting = [
            asyncio.create_task(access.outside(lambda: answered.wait(30))) for _ in range(access.OUTSIDE_MOST)
        ]
        await asyncio.sleep(0)
        try:
            with pytest.raises(Unavailable):
                await access.outside(lambda: True)
            async with asyncio.timeout(30):
                assert await access.in_thread(lambda: "a report") == "a report"
        finally:
            answered.set()
        assert await asyncio.gather(*waiting) == [True] * access.OUTSIDE_MOST
        assert await access.outside(lambda: True)

    asyncio.run(ask_all())


def test_a_statement_that_takes_too_long_is_ended_by_name(
    ask: Asker, acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection

    def slow(grant: Any, asked: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(20)")

    monkeypatch.setattr(access, "STATEMENT_TIMEOUT_MS", 50)
    monkeypatch.setattr("gateway.rest.projects.project_of", slow)
    answer = ask.get(f"/v1/projects/{acme.project.id}")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert "shorter time" in answer.body["details"]
    assert ask.get("/v1/projects").status == 200


def test_a_database_that_is_away_is_said(ask: Asker, acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(grant: Any, asked: str) -> None:
        raise OperationalError("connection to 10.0.0.1 failed: password=secret")

    monkeypatch.setattr("gateway.rest.projects.project_of", away)
    answer = ask.get(f"/v1/projects/{acme.project.id}")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert "secret" not in str(answer)


def test_a_grant_is_of_the_request_that_it_came_with(house: House, acme: Any, rival: Any) -> None:
    names = {household.project.id: key_of(household) for household in (acme, rival)}
    for project_id, asker in names.items():
        listed = replace(asker).get("/v1/projects").body["projects"]
        assert [one["project_id"] for one in listed] == [str(project_id)]
