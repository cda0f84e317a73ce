from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks import worker_path

CHUNK_MS = 160


def row(streams: int, p95: float | None, errors: int = 0) -> dict[str, Any]:
    return {
        "streams": streams,
        "chunk_to_result_p95_ms": p95,
        "errors": errors,
        "latest_packet_ms": 1.0,
        "cpu_cores": {"worker": 0.9, "gateway": 0.3, "client": 0.1},
    }


@pytest.mark.parametrize("carries", [1, 7, 8, 30, 100, 1024, 5000])
def test_the_border_is_found_to_a_tenth(carries: int) -> None:
    rows: list[dict[str, Any]] = []
    while count := worker_path.following(rows, CHUNK_MS):
        assert count not in [one["streams"] for one in rows]
        rows.append(row(count, 100.0 if count <= carries else 200.0))
        assert len(rows) < 20
    found = worker_path.most(rows, CHUNK_MS)
    wanted = min(carries, worker_path.MOST)
    assert found <= wanted
    assert found >= wanted * (1 - 1.2 * worker_path.NARROW) - 1


def test_nothing_is_carried_where_not_even_one_is() -> None:
    rows: list[dict[str, Any]] = []
    while count := worker_path.following(rows, CHUNK_MS):
        rows.append(row(count, None))
    assert rows[-1]["streams"] == 1
    assert worker_path.most(rows, CHUNK_MS) == 0
    assert worker_path.verdict(rows, CHUNK_MS).startswith("Not one")


def test_a_crowd_with_an_error_is_not_carried() -> None:
    assert worker_path.carried(row(8, 160.0), CHUNK_MS)
    assert not worker_path.carried(row(8, 160.1), CHUNK_MS)
    assert not worker_path.carried(row(8, 20.0, errors=1), CHUNK_MS)


def test_the_verdict_says_who_was_busy() -> None:
    said = worker_path.verdict([row(8, 50.0), row(16, 300.0)], CHUNK_MS)
    assert "8 streams with p95" in said
    assert "At 16 it was over, with the cores at worker 0.90, gateway 0.30, client 0.10." in said
