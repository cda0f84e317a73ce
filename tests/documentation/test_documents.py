"""What the documents say exists, exists."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from config import env
from gateway import errors_page
from gateway.errors import GatewayError
from tenants import access
from tests.documentation import names

DOCUMENTS = names.documents()
TASKS = {"metering.finalise_invoices", "metering.post", "metering.record_usage"}
# In backticks and capitals, and not a variable of the environment.
OTHER_CAPITALS = {"WIRE_VERSION", "UNIQUE", "WHERE", "CHANGELOG", "YOUR_KEY", "NULLIF"}


@pytest.fixture(params=DOCUMENTS, ids=[str(path.relative_to(names.ROOT)) for path in DOCUMENTS])
def document(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_links_lead_somewhere(document: Path) -> None:
    dead = []
    for link in names.links(document.read_text()):
        path, _, anchor = link.partition("#")
        target = (document.parent / path) if path else document
        if not target.exists() or (anchor and anchor not in names.anchors(target.read_text())):
            dead.append(link)
    assert dead == []


def test_paths_exist(document: Path) -> None:
    text = document.read_text()
    known = (names.ROOT, names.ROOT / "platform", document.parent)
    missing = {path for path in names.paths(text) if not any((root / path).exists() for root in known)}
    assert {path for path in missing if "<" not in path} == set()


def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (names.ROOT / "Makefile").read_text(), re.MULTILINE))
    assert names.make_targets(document.read_text()) - targets == set()


def test_python_names_exist(document: Path) -> None:
    named = names.dotted(document.read_text()) - TASKS
    files = {path.name for path in document.parent.iterdir()}
    assert {name for name in named - files if not names.resolves(name)} == set()


def test_environment_variables_exist(document: Path) -> None:
    named = {word for word in names.code(document.read_text()) if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", word)}
    declared = {variable.name for variable in env.variables()}
    client = {"STENOGATE_URL", "STENOGATE_KEY"}
    codes = {error.code for error in _below(GatewayError)}
    assert named - declared - client - codes - OTHER_CAPITALS == set()


def test_json_examples_are_json(document: Path) -> None:
    for block in names.blocks(document.read_text(), "json"):
        json.loads(block)


PROTOCOL = (names.ROOT / "docs" / "protocol.md").read_text()


def test_the_protocol_page_names_errors_that_exist() -> None:
    codes = {code for code, *_ in errors_page.errors()}
    section = PROTOCOL.partition("| close code |")[2].partition("\n\n")[0]
    assert set(names.code(section)) - {"KeepAlive"} <= codes
    for block in names.blocks(PROTOCOL, "json"):
        message = json.loads(block)
        if code := message.get("err_code") or message.get("code"):
            assert code in codes


def test_the_protocol_page_names_the_scope() -> None:
    assert f"the scope `{access.Scope.LISTEN}`" in PROTOCOL


def test_a_name_that_does_not_exist_is_noticed() -> None:
    assert names.resolves("gateway.session.Session.receive")
    assert not names.resolves("gateway.session.Session.recieve")
    assert not names.resolves("gateway.sessions")
    assert names.resolves("stenogate.wav")
    assert names.anchors("## Your own PostgreSQL, and more\n```sh\n# no heading\n```\n") == {
        "your-own-postgresql-and-more"
    }
    assert names.make_targets("`make run`, `PORT=1 make stop`, make it\n```sh\nmake test  # now\n```\n") == {
        "run",
        "stop",
        "test",
    }


def _below(base: type[Any]) -> set[type[Any]]:
    return {base}.union(*(_below(child) for child in base.__subclasses__()))
