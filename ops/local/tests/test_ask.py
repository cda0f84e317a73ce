"""What it says when it cannot; that it can, the commands of the runbooks show against a running service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.local import ask, command, manage, running
from ops.local.running import MARK, Paths


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Paths]:
    """Of something that runs, as far as it says, and has neither database nor Valkey."""
    (tmp_path / "run").mkdir()
    paths = Paths(tmp_path)
    with running.only_one(paths):
        manage.keep(
            paths, {"DATABASE_URL": "postgresql://u@127.0.0.1:1/d", "REDIS_URL": "redis://127.0.0.1:1/0"}
        )
        running.write_json(
            paths.demo, {"http_url": "http://127.0.0.1:1", "pids": {"supervisor": os.getpid(), "worker": 1}}
        )
        yield paths


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["with"], "With which program?"),
        (["with", "no-such-program"], "no-such-program: No such file"),
        (["sql"], "One statement, in quotes"),
        (["sql", "SELECT", "1"], "One statement, in quotes"),
        (["sql", "SELECT 1"], "PostgreSQL says: "),
        (["valkey"], "Which command?"),
        (["valkey", "PING"], "Valkey says: "),
        (["restart"], "Restart what? One of: worker."),
        (["restart", "supervisor"], "Restart what? One of: worker."),
        (["restart", "worker", "gateway"], "Restart what?"),
    ],
)
def test_what_cannot_be_done_is_said(
    paths: Paths, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert command.main(["--var", str(paths.var), *words]) == 1
    assert says in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["with", "env"], ["sql", "SELECT 1"], ["valkey", "PING"], ["restart", "worker"]]
)
def test_it_needs_what_is_running(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert command.main(["--var", str(tmp_path), *words]) == 1
    assert "make run" in capsys.readouterr().out


def test_a_part_that_hangs_is_ended_all_the_same(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "LAST_WORDS_S", 0.1)
    monkeypatch.setattr(ask, "_ready", lambda given: True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, process_group=0) as hangs:
        os.kill(hangs.pid, signal.SIGSTOP)
        os.waitpid(hangs.pid, os.WUNTRACED)  # else the next signal may come first
        # Whoever supervises has started another one, when it is gone.
        monkeypatch.setattr(ask, "_pids", lambda paths: {"valkey": hangs.pid if hangs.poll() is None else 1})
        assert command.main(["--var", str(paths.var), "restart", "valkey"]) == 0
    assert hangs.returncode == -signal.SIGKILL


def test_a_program_is_told_what_the_processes_are_and_ends_with_them(paths: Paths) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ops.local", "--var", str(paths.var), "with", "env"],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert "DATABASE_URL=postgresql://u@127.0.0.1:1/d" in done.stdout.splitlines()
    assert f"{MARK}={paths.var}" in done.stdout.splitlines()


def test_what_valkey_says_can_be_read() -> None:
    assert ask._readable([b"a\n", 3, [b"b"]]) == "a\n3\nb"
    assert ask._readable({"role": "master", b"x": 1}) == "role:master\nx:1"
    assert ask._readable(None) == "None"
