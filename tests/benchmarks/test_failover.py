from __future__ import annotations

import pytest

from tests.benchmarks import failover, machine


def test_figures_are_of_all_moves() -> None:
    moves = [dict.fromkeys(failover.FIGURES, seconds) for seconds in (1.0, 2.0, 3.0)]
    found = failover.figures(moves)
    assert (found["moved"], found["beyond_p50_s"]) == (3, 2.0)
    assert found["next_p95_s"] > 2.0
    assert failover.figures([])["beyond_p95_s"] is None


def test_an_engine_without_a_talk_is_named() -> None:
    with pytest.raises(machine.CannotMeasure, match="no talk for the engine riva"):
        failover.run(engine="riva")
