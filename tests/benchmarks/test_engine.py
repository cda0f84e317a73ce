from __future__ import annotations

import pytest

from tests.benchmarks import engine, machine


def test_rates_are_medians_over_rounds_and_steps_are_pooled() -> None:
    times = {
        "ours": [[0.010, 0.010], [0.020, 0.020], [0.010, 0.030]],
        "nemo": [[0.040, 0.040], [0.040, 0.040], [0.080, 0.080]],
        "recogniser": [[0.005, 0.005]] * 3,
    }
    row = engine.row(8, times, words=12)
    assert row["ours_rows_per_s"] == pytest.approx(8 / 0.020)
    assert row["nemo_rows_per_s"] == pytest.approx(8 / 0.040)
    assert row["recogniser_rows_per_s"] == pytest.approx(8 / 0.005)
    assert row["ratio"] == 2.0
    assert row["ratio_of_rounds"] == [2.0, 4.0]
    assert row["ours_step_p50_ms"] == pytest.approx(15.0)
    assert row["nemo_step_p95_ms"] == pytest.approx(80.0)
    assert (row["streams"], row["words"]) == (8, 12)


def test_every_contender_is_first_in_some_round() -> None:
    assert [engine.rotated(engine.NAMES, number)[0] for number in range(4)] == [
        "ours",
        "nemo",
        "recogniser",
        "ours",
    ]


def test_what_they_heard_is_compared_by_letters() -> None:
    engine.agree({"ours": ["set the timer", "call"], "nemo": ["set thetimer", "call"]})
    with pytest.raises(engine.Disagreement, match=r"ours and nemo .* 1 of 2 streams \(1\)"):
        engine.agree({"ours": ["a", "b"], "nemo": ["a", "c"]})


def test_silence_shows_nothing() -> None:
    with pytest.raises(engine.Disagreement, match="nobody heard a word"):
        engine.agree({"ours": ["", ""], "nemo": ["", ""]})


@pytest.mark.parametrize(
    ("streams", "ratio", "said"),
    [(64, 2.0, "met"), (64, 1.99, "MISSED"), (1, 1.0, "met"), (1, 0.9, "MISSED"), (8, 0.1, "")],
)
def test_the_targets_are_at_1_and_64_streams(streams: int, ratio: float, said: str) -> None:
    verdict = engine.verdict([{"streams": streams, "ratio": ratio}], None)
    assert said in verdict
    assert bool(verdict) is bool(said)


@pytest.mark.parametrize(("growth", "said"), [(0.5, "met"), (-1.0, "met"), (40.0, "MISSED")])
def test_memory_is_flat_or_it_is_said(growth: float, said: str) -> None:
    assert said in engine.verdict([], {"growth_mb": growth})


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(
        machine.CannotMeasure, match=r"nemo_toolkit is not installed|no model /nowhere/x\.nemo"
    ):
        engine.run(model="/nowhere/x.nemo")


def test_a_short_race() -> None:
    import torch

    before = torch.get_num_threads()
    figures = engine.run(streams=(2,), threads=1, rounds=2, steps=8, minutes=0, memory_of_streams=False)
    assert torch.get_num_threads() == before
    (row,) = figures["rows"]
    assert row["streams"] == 2
    assert row["words"] > 0
    assert all(row[f"{name}_rows_per_s"] > 0 for name in engine.NAMES)
