"""Whatever crashes: once it is back and reconciled, ledger = inference log = provider = invoice, and nobody
was ever charged for more than was sent. CRASH_SEED=… tries other moments."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash import matrix
from tests.crash.faults import ROWS, Row
from tests.crash.matrix import Matrix

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def running() -> Iterator[Matrix]:
    with matrix.running() as found:
        yield found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "_"))
def test_crash_matrix(running: Matrix, row: Row) -> None:
    looks = running.sampler.looks
    result = running.play(row)
    assert matrix.wrong(result) == []
    assert running.sampler.looks > looks + 10
