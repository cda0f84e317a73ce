from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from gateway.rest.tests.conftest import Asker, House, key_of
from tenants import selectors, services
from tenants.models import APIKey, AuditEntry
from tenants.scope import tenant_scope


@pytest.fixture
def at(acme: Any) -> str:
    return f"/v1/projects/{acme.project.id}/keys"


def test_an_issued_key_works_is_listed_without_its_text_and_can_be_revoked(
    ask: Asker, house: House, acme: Any, at: str
) -> None:
    issued = ask.post(at, {"comment": "New", "scopes": ["projects:read"], "tags": ["ci"]})
    assert issued.status == 200
    assert (issued.body["comment"], issued.body["tags"]) == ("New", ["ci"])
    assert issued.body["scopes"] == ["projects:read"]
    assert issued.body["expiration_date"] is None
    new = Asker(issued.body["key"])
    assert new.get("/v1/projects").status == 200

    listed = ask.get(at)
    assert [one["api_key"]["comment"] for one in listed.body["api_keys"]] == ["New", "Asking", "Server"]
    shown = listed.body["api_keys"][0]["api_key"]
    assert shown["api_key_id"] == issued.body["api_key_id"]
    assert shown["prefix"][3:-1] in issued.body["key"]
    one = ask.get(f"{at}/{shown['api_key_id']}")
    assert one.body["api_key"] == one.body["item"]["member"]["api_key"] == shown
    for answer in (listed, one):
        assert issued.body["key"] not in str(answer.body)

    gone = ask("DELETE", f"{at}/{shown['api_key_id']}")
    assert gone.body == {"message": "The key is revoked."}
    assert new.get("/v1/projects").code == "key_revoked"
    assert ask.get(f"{at}/{shown['api_key_id']}").code == "unknown_id"
    assert ask("DELETE", f"{at}/{shown['api_key_id']}").code == "unknown_id"
    assert len(ask.get(at).body["api_keys"]) == 2
    with tenant_scope(acme.tenant.id):
        said = AuditEntry.objects.filter(subject=shown["api_key_id"]).order_by("id")
        assert [entry.action for entry in said] == ["key.issued", "key.revoked"]
        assert all(entry.actor.startswith("key sk_") for entry in said)


def test_a_key_gives_no_scope_that_it_lacks(house: House, acme: Any, at: str) -> None:
    issuer = key_of(acme, ["keys:write", "listen"])
    refused = issuer.post(at, {"comment": "More", "scopes": ["listen", "usage:read"]})
    assert (refused.status, refused.code) == (403, "scope_missing")
    assert "'usage:read'" in refused.body["err_msg"]
    assert issuer.post(at, {"comment": "Member", "scopes": ["member"]}).code == "scope_missing"
    assert issuer.post(at, {"comment": "Same", "scopes": ["usage:write"]}).body["scopes"] == ["listen"]


def test_what_deepgram_calls_roles_is_understood(ask: Asker, at: str) -> None:
    made = ask.post(at, {"comment": "Member", "scopes": ["member"]})
    assert made.body["scopes"] == ["listen", "projects:read", "usage:read"]
    assert "keys:write" in ask.post(at, {"comment": "Admin", "scopes": ["admin"]}).body["scopes"]
    assert ask.post(at, {"comment": "x", "scopes": ["everything"]}).code == "scope_unknown"


def test_an_expiry_is_a_date_or_a_time_to_live(ask: Asker, at: str) -> None:
    before = timezone.now()
    until = ask.post(at, {"comment": "x", "time_to_live_in_seconds": 60}).body["expiration_date"]
    assert (
        timedelta(0) <= datetime.fromisoformat(until) - before - timedelta(seconds=60) < timedelta(minutes=1)
    )
    for date in ("2099-01-01T00:00:00Z", "2099-01-01T00:00:00", "2099-01-01T02:00:00+02:00"):
        made = ask.post(at, {"comment": "x", "expiration_date": date})
        assert datetime.fromisoformat(made.body["expiration_date"]) == datetime(2099, 1, 1, tzinfo=UTC)
    past = ask.post(at, {"comment": "x", "expiration_date": "2020-01-01T00:00:00Z"})
    assert (past.status, past.code) == (400, "expiry_past")


NONSENSE: list[tuple[Any, str]] = [
    (None, "body"),
    ({}, "comment"),
    ({"comment": "x" * 101}, "comment"),
    ({"comment": "x", "scopes": []}, "scopes"),
    ({"comment": "x", "scopes": "listen"}, "scopes"),
    ({"comment": "x", "tags": ["a\0b"]}, "tags"),
    ({"comment": "x", "tags": ["x"] * 17}, "tags"),
    ({"comment": "x", "time_to_live_in_seconds": 0}, "time_to_live_in_seconds"),
    ({"comment": "x", "time_to_live_in_seconds": 10**12}, "time_to_live_in_seconds"),
    ({"comment": "x", "expiration_date": "soon"}, "expiration_date"),
    ({"comment": "x", "expiration_date": "0001-01-01T00:00:00+14:00"}, "expiration_date"),
    (
        {"comment": "x", "expiration_date": "2099-01-01T00:00:00Z", "time_to_live_in_seconds": 5},
        "not both",
    ),
]


def test_what_makes_no_sense_is_named(ask: Asker, at: str) -> None:
    for body, named in NONSENSE:
        answer = ask.post(at, body)
        assert (answer.status, answer.code) == (400, "bad_body"), body
        assert named in answer.body["details"]


def test_a_name_is_printable(ask: Asker, at: str) -> None:
    for name in ("", "   ", "a\0b", "\ud800"):
        assert ask.post(at, {"comment": name}).status == 400


def test_keys_are_listed_by_whether_they_have_expired(ask: Asker, acme: Any, at: str) -> None:
    old, _ = services.issue_key(acme.project, name="Old", expires_at=timezone.now() + timedelta(hours=1))
    with tenant_scope(acme.tenant.id):
        APIKey.objects.filter(id=old.id).update(expires_at=timezone.now())

    def names(status: str) -> list[str]:
        return [one["api_key"]["comment"] for one in ask.get(f"{at}?status={status}").body["api_keys"]]

    assert names("expired") == ["Old"]
    assert names("active") == ["Asking", "Server"]


def test_who_issued_it_is_told_of_members_only(ask: Asker, acme: Any, staff: Any, at: str) -> None:
    services.issue_key(acme.project, name="Alice's", actor=acme.owner)
    services.issue_key(acme.project, name="Ours", actor=staff)
    listed = ask.get(at)
    found = {one["api_key"]["comment"]: one["member"] for one in listed.body["api_keys"]}
    assert found["Alice's"] == {"member_id": str(acme.owner.id), "email": "alice@acme.example"}
    assert found["Ours"] is None
    assert "staff" not in str(listed.body)


def test_pages_show_every_key_once_while_others_come(ask: Asker, acme: Any, at: str) -> None:
    for number in range(7):
        services.issue_key(acme.project, name=f"Key {number}")
    seen, cursor = [], ""
    while True:
        page = ask.get(f"{at}?limit=2{cursor}").body
        seen += [one["api_key"]["comment"] for one in page["api_keys"]]
        services.issue_key(acme.project, name="Newer")
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [*(f"Key {number}" for number in reversed(range(7))), "Asking", "Server"]


def test_a_cursor_of_another_list_is_refused(ask: Asker, acme: Any, at: str) -> None:
    services.create_project(acme.tenant, "Second")
    cursor = ask.get("/v1/projects?limit=1").body["next_cursor"]
    answer = ask.get(f"{at}?cursor={cursor}")
    assert (answer.status, answer.code) == (400, "bad_parameter")
    assert "cursor" in answer.body["details"]


def test_an_archived_project_gets_no_keys(ask: Asker, acme: Any, at: str) -> None:
    grant = selectors.find_key(ask.secret)
    services.archive_project(acme.project)
    with pytest.raises(Exception, match="archived"):
        services.issue_key(acme.project, name="x", actor=grant)
    assert ask.post(at, {"comment": "x"}).code == "key_revoked"
