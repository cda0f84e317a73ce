from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import structlog

from tests.benchmarks.gpu import report, wheels
from tests.benchmarks.gpu.levels import Steps, flat_out_row, paced_row

needs_nemo = pytest.mark.skipif(
    find_spec("nemo") is None or find_spec("torch") is None, reason="nemo_toolkit is not installed"
)


def context(paced: list[tuple[int, bool]], nemo: list[tuple[int, bool]], right: int = 1) -> report.Figures:
    def rows(levels: list[tuple[int, bool]]) -> list[report.Figures]:
        return [
            {
                "streams": streams,
                "in_time": in_time,
                "rows_per_s": 10.0 * streams,
                "chunk_to_result_p50_ms": 20.0,
                "chunk_to_result_p95_ms": 40.0,
                "step_p50_ms": 15.0,
                "rows_p50": 100.0,
            }
            for streams, in_time in levels
        ]

    return {
        "right": right,
        "chunk_ms": 80 * (right + 1),
        "paced": rows(paced),
        "nemo": rows(nemo),
        "flat_out": rows(paced),
    }


def test_a_level_is_in_time_when_19_of_20_chunks_are() -> None:
    steps = Steps([2, 4], [0.010, 0.030])
    row = paced_row(4, 0.16, [0.02] * 96 + [0.5] * 4, steps, 2.0, {"words": 3})
    assert row["in_time"] is True
    assert (row["chunk_to_result_p50_ms"], row["busy"], row["rows_p50"]) == (20.0, 0.02, 3.0)
    assert paced_row(4, 0.16, [0.02] * 94 + [0.5] * 6, steps, 2.0, {})["in_time"] is False


def test_a_level_without_an_answer_is_late() -> None:
    assert paced_row(4, 0.16, [], Steps(), 2.0, {})["in_time"] is False


def test_steps_as_fast_as_they_go_give_rows_a_second() -> None:
    row = flat_out_row(8, 0.08, [0.04, 0.04])
    assert (row["rows_per_s"], row["in_time"]) == (200.0, True)
    assert flat_out_row(8, 0.03, [0.04, 0.04])["in_time"] is False


def test_the_most_streams_are_those_before_the_first_level_that_was_late() -> None:
    rows = context([(256, True), (512, False), (768, True)], [])["paced"]
    assert report.most(rows) == 256
    assert report.most([]) == 0


def test_ours_and_theirs_are_compared_by_the_most_streams() -> None:
    assert report.ratio(context([(512, True), (1000, True)], [(128, True), (256, False)])) == 7.81
    assert report.ratio(context([(512, True)], [])) is None


def test_the_verdict_names_what_was_missed() -> None:
    found = {"tiny": False, "contexts": [context([(512, True), (1000, False)], [(128, True)])]}
    assert report.verdict(found) == (
        "At least 1000 streams of 160 ms in time: 512, MISSED.\nAt least x5 of NeMo's pipeline: x4, MISSED."
    )
    found["contexts"] = [context([(1250, True)], [(128, True)])]
    assert report.verdict(found).count("met") == 2
    assert "not measured" in report.verdict({"tiny": False, "contexts": []})


def test_the_table_holds_every_look_ahead_even_one_that_was_cut_short() -> None:
    contexts = [context([(512, True), (1000, False)], [(128, True)]), context([], [], right=0)]
    lines = report.table({"contexts": contexts}).splitlines()
    assert len(lines) == 4
    assert lines[2] == "| 160 ms | 512 | 20.0 ms | 40.0 ms | 15.0 ms of 100 | 10000 | 128 | 1280 | x4 |"
    assert lines[3] == "| 80 ms | 0 | - | - | - | - | - | - | - |"
    assert {line.count("|") for line in lines} == {10}


def test_what_was_found_is_kept_at_once(tmp_path: Path) -> None:
    kept = report.Report(tmp_path / "gpu.json", {"gpu": "one"})
    kept.keep(correctness={"same": 1.0})
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert (found["complete"], found["gpu"], found["correctness"]) == (False, "one", {"same": 1.0})
    assert [path.name for path in tmp_path.iterdir()] == ["gpu.json"]


def test_wheels_have_the_versions_of_the_lock() -> None:
    pins = wheels.pinned(wheels.LOCK.read_text(), wheels.NAMES)
    assert len(pins) == len(wheels.NAMES)
    assert "nemo-toolkit==3.0.0" in pins
    with pytest.raises(wheels.CannotCarry, match="no such-a-thing;"):
        wheels.pinned("a==1\n", ["a", "such-a-thing"])


@pytest.mark.parametrize(
    ("wheel", "usable"),
    [
        ("structlog-26.1.0-py3-none-any.whl", True),
        ("cffi-2.1.1-cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", True),
        ("soundfile-0.14.0-py2.py3-none-manylinux_2_28_x86_64.whl", True),
        ("cffi-2.1.1-cp311-cp311-manylinux2014_x86_64.whl", False),
        ("cffi-2.1.1-cp312-cp312-manylinux2014_aarch64.whl", False),
    ],
)
def test_a_wheel_of_another_machine_is_none_to_carry(wheel: str, usable: bool) -> None:
    assert wheels.fits(wheel, "3.12") is usable


@needs_nemo
def test_tokens_are_compared_by_what_and_when() -> None:
    from tests.benchmarks.gpu import correctness

    first = [[(5, 0, 0.9), (7, 3, 0.5)], [(1, 1, 0.4)], [(1, 1, 0.4)]]
    found = correctness.compare(first, [[(5, 0, 0.9), (7, 3, 0.6)], [(1, 2, 0.4)], [(2, 1, 0.4)]])
    assert (found["same"], found["same_frames"]) == (pytest.approx(1 / 3, abs=1e-4), 0.6)
    assert (found["streams_equal"], found["confidence_apart"]) == (1, pytest.approx(0.1))
    with pytest.raises(correctness.Wrong, match=r"60\.0 % of the tokens .* 33 % of the streams"):
        correctness.check(found)
    correctness.check(correctness.compare(first, first))


@pytest.fixture
def as_before() -> Iterator[None]:
    """The benchmark has a process for itself, and sets it up."""
    import torch

    logged, threads = structlog.get_config(), torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    structlog.configure(**logged)
    torch.set_num_threads(threads)


@needs_nemo
@pytest.mark.usefixtures("as_before")
def test_all_of_it_runs_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # In this process: another would import NeMo again, a quarter of a minute on a slow machine.
    from tests.benchmarks.gpu.__main__ import main

    assert main(["--tiny", "--device", "cpu", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["complete"] is True
    assert found["correctness"]["fp32"]["same"] == 1.0
    assert min(found["correctness"]["fp32"]["tokens"]) > 10
    assert 3 <= found["tokens_per_s"] <= 4
    (only,) = found["contexts"]
    for part in ("flat_out", "paced", "nemo"):
        assert only[part], part
        assert only[part][0]["steps"] > 0
    assert only["paced"][0]["chunks"] >= 10
    assert "nothing of how fast a GPU is" in capsys.readouterr().out
