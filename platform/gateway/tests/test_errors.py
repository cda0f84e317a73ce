from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from gateway.errors import AccessRefused, GatewayError, NoCapacity
from gateway.errors_page import errors, every, page, rows
from tenants.errors import KeyRevoked

ROOT = Path(__file__).parents[3]

# What the wire lets an application send, as RFC 6455 and its registry have it.
CLOSE_CODES = {1008, 1011, 1012, *range(4000, 5000)}


def test_codes_are_unique() -> None:
    assert [code for code, count in Counter(row[0] for row in rows()).items() if count > 1] == []


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_every_error_has_a_status_a_close_code_and_sentences(row: tuple[str, int, int, str]) -> None:
    _, status, close_code, sentence = row
    assert status == 307 or 400 <= status < 600
    assert close_code in CLOSE_CODES
    assert sentence.endswith(".")


TESTS = [
    path.read_text()
    for folder in ("platform", "tenants", "tests")
    for path in (ROOT / folder).rglob("test_*.py")
    if path != Path(__file__)
]


@pytest.mark.parametrize(("code", "kind"), [(code, kind) for code, _, _, kind in errors()])
def test_every_error_is_provoked_by_a_test(code: str, kind: type[Exception]) -> None:
    said = re.compile(rf"""["'`\s]{re.escape(code)}["'`\s]|\b{kind.__name__}\b""")
    assert any(said.search(text) for text in TESTS)


def test_the_detail_follows_the_sentence() -> None:
    assert NoCapacity("Ten are here.").sentence.endswith("Retry-After. Ten are here.")


def test_a_refused_key_keeps_the_code_and_sentence_of_its_cause() -> None:
    error = AccessRefused(KeyRevoked())
    assert (error.code, error.status) == ("key_revoked", 401)
    assert error.sentence == str(KeyRevoked())


def test_the_page_is_not_stale() -> None:
    written = (ROOT / "docs" / "errors.md").read_text()
    assert written == page(), "run `make docs`"


def test_clients_that_reconnect_on_1011_are_not_invited_to() -> None:
    assert [e.code for e in every(GatewayError) if e.close_code == 1011] == ["NET-0001"]
