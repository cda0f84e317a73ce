"""The OpenAPI document: as committed, and complete."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.rest import openapi

FILE = Path(__file__).parents[4] / "docs/openapi.json"
DOCUMENT = json.loads(FILE.read_text())
OPERATIONS = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]


def test_the_file_is_what_the_code_says():
    assert openapi.text() == FILE.read_text(), "It is stale: make docs"


def test_every_operation_has_a_name_of_its_own():
    names = [operation["operationId"] for operation in OPERATIONS]
    assert sorted(set(names)) == sorted(names)


def test_every_operation_says_what_it_is_and_how_it_refuses():
    for operation in OPERATIONS:
        assert operation["summary"], operation["operationId"]
        assert operation["description"], operation["operationId"]
        # What has no lock refuses nobody for the want of a key.
        assert ("401" in operation["responses"]) == (operation["security"] != []), operation["operationId"]
