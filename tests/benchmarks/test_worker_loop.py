from __future__ import annotations

import pytest
import structlog

from tests.benchmarks import worker_loop


def test_it_says_what_a_chunk_costs_with_so_many_streams(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        figures = worker_loop.run(streams=(3, 60), rounds=2)
    finally:
        structlog.reset_defaults()
    assert [row["streams"] for row in figures["rows"]] == [3, 60]
    for row in figures["rows"]:
        parts = row["receive_us"] + row["batch_us"] + row["publish_us"]
        assert row["row_us"] == pytest.approx(parts)
        assert 0 < row["of_a_core"] < 1
    assert "to its result" in capsys.readouterr().out
