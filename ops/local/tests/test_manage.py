from __future__ import annotations

import json
from pathlib import Path

import pytest

from ops.local import command, manage, running
from ops.local.errors import LocalError
from ops.local.running import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "run").mkdir()
    return Paths(tmp_path)


def test_what_the_processes_are_told_is_kept_for_their_owner_alone(paths: Paths) -> None:
    manage.keep(paths, {"DATABASE_URL": "postgresql://h/d", "PATH": "/bin", "HOME": "/root"})
    assert json.loads(paths.environment.read_text()) == {"DATABASE_URL": "postgresql://h/d"}
    assert paths.environment.stat().st_mode & 0o077 == 0


def test_a_command_needs_what_is_running(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    manage.keep(paths, {"DATABASE_URL": "postgresql://h/d"})  # a run that was killed has left it
    with pytest.raises(LocalError, match="Nothing is running here"):
        manage.told(paths)
    assert command.main(["--var", str(paths.var), "manage", "invoice", "draft", "--tenant", "demo"]) == 1
    assert "make run" in capsys.readouterr().out


def test_it_is_told_what_the_processes_are(paths: Paths) -> None:
    with running.only_one(paths):
        with pytest.raises(LocalError, match="still starting"):
            manage.told(paths)
        manage.keep(paths, {"DATABASE_URL": "postgresql://h/d"})
        assert manage.told(paths) == {"DATABASE_URL": "postgresql://h/d"}


def test_the_others_take_no_arguments(paths: Paths) -> None:
    with pytest.raises(SystemExit):
        command.main(["--var", str(paths.var), "stop", "now"])


def test_var_may_stand_on_either_side(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--var", str(paths.var), "stop"]) == 0
    assert command.main(["stop", "--var", str(paths.var)]) == 0
