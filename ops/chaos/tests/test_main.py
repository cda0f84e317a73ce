from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ops.chaos import __main__ as command
from ops.chaos.errors import ChaosError, NotPossible
from ops.chaos.report import Row

LAB: Any = None


def experiment(row: Row | Exception) -> Callable[[Any], Row]:
    def made(lab: Any) -> Row:
        if isinstance(row, Exception):
            raise row
        return row

    return made


HELD = experiment(Row("held", "a", "b", lost_words=0))
LOST = experiment(Row("lost", "a", "b", lost_words=3))
AWAY = experiment(psycopg.OperationalError("the database system is starting up"))
STUCK = experiment(ChaosError("waited 90 s for the worker to be back"))
ELSEWHERE = experiment(NotPossible("valkey was not started by `make run`."))


@pytest.mark.parametrize(
    ("made", "status", "says"),
    [
        ([HELD], 0, "1 of 1 held"),
        ([HELD, LOST, HELD], 1, "3 words lost"),
        ([HELD, STUCK], 1, "waited 90 s for the worker to be back"),
        ([AWAY, HELD], 1, "the database system is starting up"),
        ([HELD, ELSEWHERE], 0, "1 could not be made here"),
        ([ELSEWHERE], 1, "valkey was not started"),
    ],
)
def test_the_status_is_1_if_any_row_broke(
    made: list[Any],
    status: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = [f"e{number}" for number in range(len(made))]
    monkeypatch.setattr(command, "EXPERIMENTS", dict(zip(names, made, strict=True)))
    assert command.run(LAB, names) == status
    assert says in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("only=worker_kil", "There are slow_consumer, abandon, "),
        ("only=", "There are only=, var="),
        ("fast", "There are only=, var="),
        ("seconds=5", "a number from 15 to 600"),
        ("seconds=long", "a number from 15 to 600"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_there_is(
    argument: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([argument, f"var={tmp_path}"]) == 2
    assert says in capsys.readouterr().err


def test_where_nothing_runs_it_says_how_to_start_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "demo.json").write_text(json.dumps({"http_url": "http://127.0.0.1:1"}))
    assert command.main([f"var={tmp_path}"]) == 2
    assert "Start it with `make run`" in capsys.readouterr().err


def test_every_experiment_has_the_name_it_is_asked_for_by() -> None:
    assert set(command.EXPERIMENTS) >= {
        "slow_consumer", "abandon", "churn_storm", "malformed", "worker_kill", "gateway_kill", "worker_slow",
        "valkey_restart", "valkey_flush", "postgres_restart", "packet_loss", "partition", "clock_jump",
    }  # fmt: skip
    assert command.names({}) == list(command.EXPERIMENTS)
    assert command.names({"only": "abandon,malformed"}) == ["abandon", "malformed"]
