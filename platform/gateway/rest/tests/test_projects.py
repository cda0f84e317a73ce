from __future__ import annotations

import uuid
from typing import Any

from gateway import callbacks
from gateway.rest.tests.conftest import Asker
from tenants import services


def test_projects_of_the_tenant_are_listed_newest_first_and_page_by_page(ask: Asker, acme: Any) -> None:
    for name in ("Second", "Third"):
        services.create_project(acme.tenant, name)
    services.archive_project(services.create_project(acme.tenant, "Over"))
    answer = ask.get("/v1/projects").body
    assert [project["name"] for project in answer["projects"]] == ["Third", "Second", "Calls"]
    assert answer["next_cursor"] is None
    first = ask.get("/v1/projects?limit=2").body
    rest = ask.get(f"/v1/projects?limit=2&cursor={first['next_cursor']}").body
    assert first["projects"] + rest["projects"] == answer["projects"]
    assert rest["next_cursor"] is None


def test_pages_show_every_project_once_while_others_come_and_go(ask: Asker, acme: Any) -> None:
    old = [services.create_project(acme.tenant, f"P{number}") for number in range(6)]
    seen, cursor = [], ""
    while True:
        page = ask.get(f"/v1/projects?limit=2{cursor}").body
        seen += [project["name"] for project in page["projects"]]
        services.create_project(acme.tenant, "Newer")
        if len(seen) == 2:
            services.archive_project(old[5])  # has been shown, and is where the next page begins
            services.archive_project(old[2])  # has not
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ["P5", "P4", "P3", "P1", "P0", "Calls"]


def test_a_page_that_ends_with_the_list_has_no_next(ask: Asker, acme: Any) -> None:
    assert ask.get("/v1/projects?limit=1").body["next_cursor"] is None


def test_a_project_is_got_by_its_id(ask: Asker, acme: Any) -> None:
    # As the SDK asks, which sends a page of something.
    answer = ask.get(f"/v1/projects/{acme.project.id}?limit=10&page=0").body
    assert answer["project_id"] == str(acme.project.id)
    assert (answer["name"], answer["mip_opt_out"], answer["archived"]) == ("Calls", True, False)


def test_an_archived_project_can_still_be_looked_up(ask: Asker, acme: Any) -> None:
    over = services.create_project(acme.tenant, "Over")
    services.archive_project(over)
    assert ask.get(f"/v1/projects/{over.id}").body["archived"] is True
    assert ask.get(f"/v1/projects/{over.id}/usage").status == 200


def test_the_secret_of_callbacks_is_for_keys_of_the_project(ask: Asker, acme: Any, rival: Any) -> None:
    found = ask.get(f"/v1/projects/{acme.project.id}/callback_secret")
    assert found.body == {"secret": callbacks.secret_of(acme.project.id)}
    assert found.headers["Cache-Control"] == "no-store"
    other = services.create_project(acme.tenant, "Other")
    refused = ask.get(f"/v1/projects/{other.id}/callback_secret")
    assert (refused.status, refused.code) == (403, "other_project")


def test_there_are_no_balances(ask: Asker, acme: Any) -> None:
    at = f"/v1/projects/{acme.project.id}/balances"
    assert ask.get(at).body == {"balances": []}
    assert ask.get(f"{at}/{uuid.uuid4()}").code == "unknown_id"
