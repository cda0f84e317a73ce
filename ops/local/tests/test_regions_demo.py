"""The script itself runs in tests/integration/test_regions.py, on three regions."""

from __future__ import annotations

import pytest

from ops.local import regions_demo


def test_it_says_when_there_is_nothing_to_show(tmp_path, capsys):
    assert regions_demo.main(["--var", str(tmp_path)]) == 1
    assert "Start them with `make regions`" in capsys.readouterr().out


def test_there_are_no_other_steps(tmp_path, capsys):
    with pytest.raises(SystemExit):
        regions_demo.main(["--var", str(tmp_path), "--only", "residency,dance"])
    said = capsys.readouterr().err
    assert "there are residency, redirect, drain, death, back; not 'residency,dance'" in said


def test_what_was_not_to_happen_ends_it():
    demo = regions_demo.Demo.__new__(regions_demo.Demo)
    with pytest.raises(regions_demo.Different, match=r"europe asks us: .* instead of 307"):
        demo.expect("europe asks us", regions_demo.Answer(101, "", "", ""), 307, region="eu")


def test_it_does_not_wait_for_ever():
    with pytest.raises(regions_demo.Different, match="for what never comes"):
        regions_demo.wait_for(lambda: False, "what never comes", 0.0)
