from __future__ import annotations

import pytest

from stenogate import connection
from stenogate.connection import MAX_RETRY_AFTER_S
from stenogate.errors import RefusedError


@pytest.mark.parametrize(
    ("said", "seconds"),
    [(None, None), ("", None), ("3", 3.0), ("999999", MAX_RETRY_AFTER_S), ("-1", None), ("1.5", None),
     ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("٣", None)],
)  # fmt: skip
def test_retry_after_is_a_number_of_seconds(said: str | None, seconds: float | None) -> None:
    assert connection._seconds(said) == seconds


@pytest.mark.parametrize(
    ("status", "code", "passes"),
    [(429, "too_many_streams", True), (503, "", True), (409, "resume_conflict", True), (409, "", False),
     (410, "resume_late", False), (403, "resume_foreign", False), (401, "key_revoked", False)],
)  # fmt: skip
def test_which_refusals_pass(status: int, code: str, passes: bool) -> None:
    assert RefusedError("No.", status=status, code=code).passes is passes
