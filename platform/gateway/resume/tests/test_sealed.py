from __future__ import annotations

import pytest
from django.test import override_settings

from gateway.resume.sealed import seal, unseal


def test_what_was_sealed_is_read_for_that_stream_and_by_that_secret_only() -> None:
    sealed = seal(b"hello there", "s")
    assert b"hello" not in sealed
    assert sealed != seal(b"hello there", "s")
    assert unseal(sealed, "s") == b"hello there"
    assert unseal(sealed, "t") is None
    with override_settings(SECRET_KEY="another" * 9):
        assert unseal(sealed, "s") is None


@pytest.mark.parametrize("length", [0, 5, 12, 13, 20])
def test_what_is_cut_off_or_changed_is_nothing(length: int) -> None:
    sealed = seal(b"hello there", "s")
    assert unseal(sealed[:length], "s") is None
    assert unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]), "s") is None
