"""What needs no three regions; tests/integration/test_regions.py has them."""

from __future__ import annotations

import io

import pytest

from ops.local import command, regions
from ops.local.console import Console
from ops.local.errors import LocalError


@pytest.mark.parametrize(
    "words", [["kill"], ["kill", "mars"], ["revive", "mars"], ["drain", "eu"], ["kill", "eu", "us"]]
)
def test_only_what_it_can_do(words, tmp_path):
    with pytest.raises(
        LocalError, match="Say `regions`, `regions kill NAME` or `regions revive NAME`: eu, us, ap"
    ):
        regions.main(regions.paths_of(tmp_path), words, Console(io.StringIO()))


def test_nothing_to_kill(tmp_path, capsys):
    assert command.main(["--var", str(tmp_path), "regions", "kill", "eu"]) == 1
    assert "Start them with `make regions`" in capsys.readouterr().out
    assert not (regions.paths_of(tmp_path).run / "held-eu").exists()


def test_an_engine_with_a_model_is_chosen_on_purpose_only(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("ENGINE=nemo\nLOG_LEVEL=DEBUG\n")
    monkeypatch.setattr("ops.local.stack.ROOT", tmp_path)
    assert regions.dotenv_without_engine() == {"LOG_LEVEL": "DEBUG"}
