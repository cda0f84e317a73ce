from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks import machine


@pytest.mark.parametrize(
    "wrong",
    [
        "only=nothing",
        "streams=two",
        "stream=1",
        "help",
        "right=one",
        "memory_of_streams=1",
        "only=gateway model=x.nemo",
    ],
)
def test_a_wrong_option_is_named(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmarks.main(wrong.split()) == 2
    assert wrong.split()[-1].partition("=")[0] in capsys.readouterr().err


def test_make_passes_every_option_on() -> None:
    given = [f"{name}=1" for name in benchmarks.OPTIONS]
    done = subprocess.run(
        ["make", "-n", "bench", *given], cwd=machine.ROOT, capture_output=True, text=True, check=True
    )
    assert [name for name in benchmarks.OPTIONS if f"{name}='1'" not in done.stdout] == []


def test_options_are_read_by_what_they_are() -> None:
    names, options = benchmarks.read(["only=engine", "streams=1,64", "right=6", "model=x.nemo"])
    assert names == ["engine"]
    assert options == {"streams": (1, 64), "right": 6, "model": "x.nemo"}


def test_without_only_everything_runs_and_an_option_reaches_those_that_know_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    heard: dict[str, Any] = {}

    def one(streams: tuple[int, ...] = (1,)) -> dict[str, Any]:
        heard["one"] = streams
        return {}

    def other(right: int = 1) -> dict[str, Any]:
        heard["other"] = right
        return {}

    monkeypatch.setattr(benchmarks, "BENCHMARKS", {"one": one, "other": other})
    monkeypatch.setattr(benchmarks, "KEEP_IN", tmp_path)
    assert benchmarks.main(["streams=2", "right=6"]) == 0
    assert heard == {"one": (2,), "other": 6}
    assert len(list(tmp_path.iterdir())) == 2


def test_what_cannot_be_measured_is_left_out_of_all_and_fails_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def poor() -> dict[str, Any]:
        raise machine.CannotMeasure("there is no GPU")

    def fine() -> dict[str, Any]:
        return {}

    monkeypatch.setattr(benchmarks, "BENCHMARKS", {"poor": poor, "fine": fine})
    monkeypatch.setattr(benchmarks, "KEEP_IN", tmp_path)
    assert benchmarks.main([]) == 0
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == ["fine"]
    assert benchmarks.main(["only=poor"]) == 2
    assert "poor cannot be measured: there is no GPU." in capsys.readouterr().err
