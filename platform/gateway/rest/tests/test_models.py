from __future__ import annotations

import uuid
from typing import Any

from gateway.rest.tests.conftest import Asker, House, key_of


def test_one_document_for_two_kinds_of_clients(ask: Asker, house: House) -> None:
    house.link.hear("parakeet", "en", "de", worker="b")
    house.link.hear("parakeet", "fr", worker="c")
    answer = ask.get("/v1/models").body
    assert answer["object"] == "list"
    assert answer["tts"] == []
    assert [model["id"] for model in answer["data"]] == ["m", "parakeet"]
    assert set(answer["data"][0]) == {"id", "object", "created", "owned_by"}
    described = answer["stt"][1]
    assert described["languages"] == ["de", "en", "fr"]
    assert described["architecture"] == "scripted"
    assert described["batch"] is described["streaming"] is True
    uuid.UUID(described["uuid"])


def test_a_model_is_found_by_its_name_and_its_uuid(ask: Asker, acme: Any) -> None:
    by_name = ask.get("/v1/models/m").body
    assert (by_name["id"], by_name["object"], by_name["name"]) == ("m", "model", "m")
    assert ask.get(f"/v1/models/{by_name['uuid']}").body == by_name
    of_project = f"/v1/projects/{acme.project.id}/models"
    assert ask.get(f"{of_project}/{by_name['uuid']}").body == by_name
    assert ask.get(of_project).body == {"stt": [by_name], "tts": []}


def test_a_model_that_is_not_there_is_404_and_says_which_are(ask: Asker) -> None:
    answer = ask.get("/v1/models/org/nova-3")
    assert (answer.status, answer.code) == (404, "unknown_id")
    assert "There are: m." in answer.body["details"]


def test_any_key_may_ask(house: House, acme: Any) -> None:
    assert key_of(acme, ["listen"]).get("/v1/models").status == 200
