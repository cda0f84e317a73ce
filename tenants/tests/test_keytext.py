from __future__ import annotations

import hashlib

import pytest

from tenants import keytext


def test_a_generated_key_is_found_by_its_prefix():
    prefix, text = keytext.generate()
    assert keytext.prefix_of(text) == prefix
    assert len(text) == keytext.KEY_LENGTH == 56
    assert keytext.digest(text) == hashlib.sha256(text.encode()).digest()


def test_keys_do_not_repeat_and_fit_a_websocket_subprotocol():
    keys = {keytext.generate() for _ in range(500)}
    assert len({prefix for prefix, _ in keys}) == len({text for _, text in keys}) == 500
    assert all(text.replace("_", "").isalnum() and text.isascii() for _, text in keys)


@pytest.mark.parametrize(
    "text",
    ["", "sk_", "sk_abcdefghijkl_" + "a" * 39, "sk_abcdefghijkl_" + "a" * 41, "pk_abcdefghijkl_" + "a" * 40,
     "sk_abcdefghijkl_" + "a" * 39 + "\n", "sk_abcdefghijkl_" + "a" * 40 + "\n",
     "sk_abcdefghijkl_" + "é" * 40,
     " sk_abcdefghijkl_" + "a" * 40, "sk_abcdefghijkl-" + "a" * 40, "x" * 100_000],
)  # fmt: skip
def test_what_is_no_key_has_no_prefix(text):
    assert keytext.prefix_of(text) is None


def test_text_that_is_not_unicode_has_a_digest_too():
    assert len(keytext.digest("\udcff")) == 32
