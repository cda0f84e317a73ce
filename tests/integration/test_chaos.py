"""The experiments of `make chaos`, shorter and quicker, against the stack that these tests share."""

from __future__ import annotations

import pytest

from ops.chaos import __main__ as command
from ops.chaos import recording, report
from ops.chaos.demo import Demo
from ops.chaos.lab import Lab, Plan
from tests.acceptance.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

PLAN = Plan(
    pace=4.0, break_after_ms=4_000, slow_s=5.0, slow_pace=30.0, abandons=3, churns=24, churn_s=4.0,
    malformed=4, bursts=3, lossy_s=4.0, stall_s=2.0,
)  # fmt: skip
SECONDS = 12.0


@pytest.fixture(scope="module")
def lab(scripted_stack: Stack) -> Lab:
    return Lab(Demo(scripted_stack.var), recording.read(None, SECONDS), PLAN)


@pytest.mark.parametrize("name", command.EXPERIMENTS)
def test_it_holds(lab: Lab, name: str) -> None:
    row = command.attempt(name, command.EXPERIMENTS[name], lab)
    assert row.wrong == (), "\n".join(report.lines(row))
    assert not row.skipped
