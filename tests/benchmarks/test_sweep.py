from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.benchmarks import sweep
from tests.benchmarks.sweep import Notes

WHERE = {"commit": "c0ffee", "cpu": "a chip"}


def row(right: int, wait: str, streams: int, first: float | None = 100.0, errors: int = 0) -> dict[str, Any]:
    chunk_ms = (right + 1) * 80
    return {
        "right": right, "chunk_ms": chunk_ms, "wait_ms": wait, "streams": streams, "errors": errors,
        "ttft_p95_ms": first, "drift_p99_ms": 1.0,
    }  # fmt: skip


def test_options_are_read() -> None:
    grid = sweep.read(["right=6,0", "wait=5,adaptive", "streams=50,1", "seconds=2.5", "slo_drift_ms=500"])
    assert list(grid.cells()) == [(0, "5"), (0, "adaptive"), (6, "5"), (6, "adaptive")]
    assert (grid.streams, grid.seconds, grid.slo.drift_p99_ms) == ((1, 50), 2.5, 500)
    assert sweep.read(["quick=1"]).engine == "scripted"
    assert sweep.read(["quick=1", "streams=2"]).streams == (2,)


@pytest.mark.parametrize(
    "wrong", ["rights=1", "right=one", "wait=soon", "wait=2000", "seconds=", "slo_drift_ms=x"]
)
def test_a_wrong_option_is_named(wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep.main([wrong], tmp_path) == 2
    assert wrong.partition("=")[0] in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("wait", "told"), [("5", "5,5,5"), ("adaptive", "5,15,40"), ("30", "30,30,30")])
def test_a_wait_is_the_same_for_any_number_of_streams_or_adaptive(wait: str, told: str) -> None:
    settings = sweep.settings(sweep.Grid(), 1, wait)
    assert settings["BATCH_WAIT_MS"] == told
    assert float(settings["MAX_BATCH_LATENCY_MS"]) >= 40
    assert settings["ATT_RIGHT_CONTEXT"] == "1"


# ---- what is known already


def test_an_interrupted_sweep_goes_on(tmp_path: Path) -> None:
    path, header = tmp_path / "sweep.jsonl", sweep.about(sweep.Grid(), WHERE)
    Notes(path, header).add(row(1, "5", 10))
    with path.open("a") as file:
        file.write('{"right": 1, "wait')  # killed while it wrote
    again = Notes(path, header)
    assert again.of(1, "5", 10) == row(1, "5", 10)
    assert again.of(1, "5", 50) is None
    again.add(row(1, "5", 50))
    assert Notes(path, header).of(1, "5", 50) == row(1, "5", 50)


@pytest.mark.parametrize("other", [{"seconds": 1.0}, {"model": "y.nemo"}])
def test_figures_of_other_settings_are_not_taken_over(other: dict[str, Any], tmp_path: Path) -> None:
    path, grid = tmp_path / "sweep.jsonl", sweep.Grid()
    Notes(path, sweep.about(grid, WHERE)).add(row(1, "5", 10))
    changed = replace(grid, **other)
    assert Notes(path, sweep.about(changed, WHERE)).of(1, "5", 10) is None


def test_figures_of_another_commit_are_not_taken_over(tmp_path: Path) -> None:
    path, grid = tmp_path / "sweep.jsonl", sweep.Grid()
    Notes(path, sweep.about(grid, WHERE)).add(row(1, "5", 10))
    assert Notes(path, sweep.about(grid, {**WHERE, "commit": "deca1f"})).of(1, "5", 10) is None


def test_what_is_known_needs_no_service_and_larger_crowds_than_one_that_failed_are_skipped(
    tmp_path: Path,
) -> None:
    grid = sweep.Grid(right=(1,), wait=("5",), streams=(1, 10, 50))
    notes = Notes(tmp_path / "sweep.jsonl", sweep.about(grid, WHERE))
    notes.add(row(1, "5", 1))
    notes.add(row(1, "5", 10, first=301.0))
    found = sweep.sweep(grid, notes)
    assert [(one["streams"], one["slo"]) for one in found] == [(1, "pass"), (10, "fail"), (50, "skipped")]
    assert found[2]["why_not"] == "failed at 10"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            "starting\n  worker cannot start: MODEL is x.\nIts log: worker.log\n",
            "worker cannot start: MODEL is x.",
        ),
        ("waited 150 s for the stack to start", "waited 150 s for the stack to start"),
        ("\n", "?"),
    ],
)
def test_a_service_that_did_not_start_says_why(said: str, why: str) -> None:
    assert sweep.reason(said) == why


# ---- what the worker says of itself


def test_rows_a_step_are_of_the_crowd_alone() -> None:
    before = {"worker_step_rows_sum": 100.0, "worker_step_rows_count": 100.0}
    after = {
        "worker_step_rows_sum": 500.0,
        "worker_step_rows_count": 200.0,
        "worker_vram_peak_bytes": 2.0**21,
    }
    assert sweep.from_worker(before, after) == {
        "rows_a_step": 4.0,
        "vram_peak_mb": 2.0,
        "cuda_alloc_retries": None,
    }
    assert sweep.from_worker({}, {})["rows_a_step"] is None


# ---- all of it


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_a_small_sweep_of_the_whole_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep.main(["quick=1", "slo_ttft_ms=60000", "slo_drift_ms=60000"], tmp_path) == 0
    kept = {path.suffix: path for path in tmp_path.iterdir()}
    assert set(kept) == {".json", ".csv", ".svg"}  # and no notes of something under way
    found = json.loads(kept[".json"].read_text())
    assert [(one["streams"], one["errors"]) for one in found["rows"]] == [(1, 0), (3, 0)]
    assert all(one["chunks_answered"] > 0 and one["rows_a_step"] >= 1 for one in found["rows"])
    assert found["best"]["streams"] == 3
    assert len(kept[".csv"].read_text().splitlines()) == 3
    ElementTree.fromstring(kept[".svg"].read_text())
    assert "Best: 3 streams" in capsys.readouterr().out
