from __future__ import annotations

import pytest

from tenants import origins
from tenants.errors import OriginMalformed


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("HTTPS://App.Example.COM:443/", "https://app.example.com"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://localhost:80", "http://localhost"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("https://app.example.com.", "https://app.example.com"),
    ],
)
def test_an_origin_has_one_spelling(given, normal):
    assert origins.normalise(given) == normal


@pytest.mark.parametrize(
    "given",
    ["", "null", "*", "app.example.com", "ftp://example.com", "https://", "https://example.com/path",
     "https://example.com?x", "https://user@example.com", "https://example.com:port", "https://[::1",
     "https://" + "a" * 300],
)  # fmt: skip
def test_what_is_no_origin_is_refused(given):
    with pytest.raises(OriginMalformed):
        origins.normalise(given)


def test_a_key_without_origins_is_good_everywhere():
    assert origins.allowed(None, frozenset())
    assert origins.allowed("null", frozenset())


def test_a_key_with_origins_is_good_there_only():
    there = frozenset({"https://app.example.com"})
    assert origins.allowed("https://APP.example.com", there)
    for elsewhere in (
        None,
        "null",
        "https://app.example.com.evil.com",
        "http://app.example.com",
        "https://example.com",
    ):
        assert not origins.allowed(elsewhere, there)
