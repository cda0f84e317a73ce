from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ops.chaos import report
from ops.chaos.report import Row

GOOD = Row("worker_kill", "kill -9 of the worker", "nobody notices", (), 0, 0, 0, 0.84)


@pytest.mark.parametrize(
    "changed",
    [
        {"faults": ("it was cut",)},
        {"lost_words": 1},
        {"doubled_words": 2},
        {"double_billed_ms": 20},
        {"unbilled_ms": 20},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_whatever_is_wrong_breaks_the_row_and_the_command(changed: dict[str, Any]) -> None:
    bad = replace(GOOD, **changed)
    assert GOOD.held
    assert not bad.held
    assert report.status([GOOD]) == 0
    assert report.status([GOOD, bad, GOOD]) == 1
    shown = "\n".join(report.lines(bad))
    assert "BROKEN" in shown
    assert all(f"! {fault}" in shown for fault in bad.wrong)


def test_what_could_not_be_made_is_no_fault_but_no_proof_either() -> None:
    skipped = Row("valkey_restart", "nothing", "", skipped="valkey was not started by `make run`.")
    assert not skipped.held
    assert report.status([GOOD, skipped]) == 0
    assert report.status([skipped]) == 1
    assert report.summary([GOOD, skipped]) == "1 of 2 held, 0 broke, 1 could not be made here."
    assert "skipped" in "\n".join(report.lines(skipped))


def test_a_row_says_what_was_done_expected_and_measured() -> None:
    first, *_ = report.lines(GOOD)
    assert first.split("  ")[0] == "worker_kill"
    assert first.split()[-6:] == ["0", "0", "ms", "0.8", "s", "held"]
    assert "- " in next(report.lines(replace(GOOD, lost_words=None)))


def test_long_cells_are_wrapped_in_their_columns() -> None:
    shown = list(report.lines(replace(GOOD, done="word " * 40)))
    assert len(shown) > 4
    assert max(map(len, [*shown, *report.head()])) <= sum(report.WIDTHS) + len(report.WIDTHS)
