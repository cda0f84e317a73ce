"""docs/openapi.json against the running service: whatever is sent, it answers as the document says.

What is sent is generated from the document, valid and invalid, and the same in every run.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.acceptance.stack import ROOT, Stack
from tests.acceptance.tenant import new_key, new_tenant
from tests.integration.plain_http import token

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

FILE = ROOT / "docs" / "openapi.json"
SCOPES = (
    "listen", "usage:read", "keys:read", "keys:write", "projects:read", "billing:read", "billing:write",
)  # fmt: skip
REFUSALS = [400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 426, 429]
# What is refused of a request and no schema can say.
BEYOND_A_SCHEMA = re.compile(
    r"bad_parameter (start|end|start, end|cursor|page|page, cursor|tag|model|request_id|group|period"
    r"|period, start|project|key|region)\b"
    r"|bad_body body: give expiration_date or time_to_live_in_seconds, not both"
    r"|bad_body (comment|tags|expiration_date|amount|email|legal_name|address|tax_id|time_zone)\b"
    r"|bad_body (Prepaid credit is bought in amounts|The page needs somewhere)"
    r"|(name_missing|expiry_past|scope_unknown|setting_malformed|time_zone_unknown) "
)


@schemathesis.serializer("audio/*")
def as_it_is(_context: Any, value: Any) -> dict[str, Any]:
    return {"data": value, "headers": {"Content-Type": "audio/wav"}}


def document(*, borders: bool) -> Any:
    """With `borders`, every operation is also sent what is just inside and just outside of its schema."""
    config: dict[str, Any] = {
        "generation": {
            "deterministic": True,
            "no-shrink": True,
            "database": "none",
            "with-security-parameters": False,
        },
        "checks": {
            # It sends the same again without a key, from the same address: see the last test here.
            "ignored_auth": {"enabled": False},
            "negative_data_rejection": {"expected-statuses": REFUSALS},
        },
        "phases": {
            "stateful": {"enabled": False},
            "examples": {"enabled": borders, "extra-data-sources": {"responses": False}},
            "coverage": {"enabled": borders, "extra-data-sources": {"responses": False}},
            "fuzzing": {"extra-data-sources": {"responses": False}, "error-feedback": {"enabled": False}},
        },
    }
    return schemathesis.openapi.from_path(FILE, config=schemathesis.Config.from_dict(config))


def examples(number: int) -> settings:
    return settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@dataclass(frozen=True)
class Asking:
    """A tenant with something of everything, and how to ask about it."""

    url: str
    key: str
    session: requests.Session
    ids: dict[str, str]

    def send(self, case: Any) -> None:
        response = case.call(self.url, self.session, token(self.key))
        excluded = [positive_data_acceptance] if _excused(case, response) else []
        case.validate_response(response, excluded_checks=excluded)


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(scope="module")
def asking(scripted_stack: Stack, session: requests.Session) -> Asking:
    tenant = new_tenant(scripted_stack, "asking")
    key = new_key(scripted_stack, tenant, *SCOPES)
    url = scripted_stack.http_url
    keys = f"{url}/v1/projects/{tenant.project_id}/keys"
    issued = session.post(keys, json={"comment": "To be asked about"}, headers=token(key)).json()
    ids = {
        "project_id": tenant.project_id,
        "key_id": issued["api_key_id"],
        "model_id": session.get(f"{url}/v1/models", headers=token(key)).json()["stt"][0]["name"],
    }
    return Asking(url, key, session, ids)


@document(borders=True).parametrize()
@examples(4)
def test_any_id_and_any_input_is_answered_as_the_document_says(case: Any, asking: Asking) -> None:
    asking.send(case)


@document(borders=True).include(path_regex=r"\{").parametrize()
@examples(4)
def test_any_input_about_what_is_there_is_answered_as_the_document_says(case: Any, asking: Asking) -> None:
    for name in case.path_parameters or {}:
        case.path_parameters[name] = asking.ids.get(name, case.path_parameters[name])
    asking.send(case)


@pytest.fixture(scope="module")
def strangers() -> Iterator[dict[str, str]]:
    """Headers without a good key, each from an address of its own: failed keys are counted by address."""
    bad = itertools.cycle(
        ({}, {"Authorization": "Token sk_nonsense"}, {"Authorization": "Bearer eyJ.nonsense"})
    )
    return ({"X-Forwarded-For": f"stranger-{number}", **headers} for number, headers in enumerate(bad))


# Whoever has a receipt may check it.
@document(borders=False).exclude(path="/v1/receipts/keys").parametrize()
@examples(3)
def test_without_a_good_key_nothing_is_answered(
    case: Any, asking: Asking, strangers: Iterator[dict[str, str]]
) -> None:
    response = case.call(asking.url, asking.session, next(strangers))
    # Whoever asks for the WebSocket by a plain GET is told so first.
    assert response.status_code == (426 if case.operation.label == "GET /v1/listen" else 401)
    case.validate_response(response, excluded_checks=[positive_data_acceptance])


def test_the_service_shows_the_same_document_and_a_page_of_it_that_needs_nothing_from_elsewhere(
    scripted_stack: Stack, session: requests.Session
) -> None:
    url = scripted_stack.http_url
    assert session.get(f"{url}/v1/openapi.json").json() == json.loads(FILE.read_text())
    page = session.get(f"{url}/v1/docs").text
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(named) >= 3
    for path in named:
        assert path.startswith("/static/")
        assert session.get(url + path).status_code == 200, path


def _excused(case: Any, response: Any) -> bool:
    """Whether a request that the schema allows may be refused all the same."""
    if "audio" in case.operation.tags:
        return True  # few generated bytes are a recording
    if response.status_code != 400:
        return False
    said = response.json()
    return BEYOND_A_SCHEMA.match(f"{said['err_code']} {said['details']} ") is not None
