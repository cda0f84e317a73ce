from __future__ import annotations

import pytest

from regions import demo, selectors, services
from regions.routing import State
from tenants.selectors import find_key

pytestmark = pytest.mark.django_db
PLACES = {
    name: {"address": f"http://127.0.0.1:{8000 + number}", "zone": "here"}
    for number, name in enumerate(("eu", "us", "ap"))
}


def test_a_tenant_of_each_residency_with_a_key() -> None:
    keys = demo.seed(PLACES, {})
    where = {name: find_key(key).where for name, key in keys.items()}
    assert {name: sorted(found.regions or ["any"]) for name, found in where.items()} == {
        "anywhere": ["any"],
        "europe": ["eu"],
        "atlantic": ["eu", "us"],
    }
    assert selectors.view().regions["us"].address == "http://127.0.0.1:8001"


def test_again_it_changes_nothing_but_what_does_not_fit() -> None:
    keys = demo.seed(PLACES, {})
    version = selectors.view().version
    assert demo.seed(PLACES, keys) == keys
    assert selectors.view().version == version
    services.set_state("eu", State.DRAINING, actor="test")
    moved = {**PLACES, "eu": {"address": "http://127.0.0.1:9000", "zone": "here"}}
    found = demo.seed(moved, {**keys, "europe": keys["atlantic"]})
    assert (found["anywhere"], found["atlantic"]) == (keys["anywhere"], keys["atlantic"])
    assert found["europe"] != keys["europe"]
    eu = selectors.view().regions["eu"]
    assert (eu.address, eu.state) == ("http://127.0.0.1:9000", "active")
