"""What makes a row worth nothing: nothing broken, nothing heard afterwards, nothing billed."""

from __future__ import annotations

from typing import Any

import pytest

from ops.chaos import demo, lab, servers
from ops.chaos.client import Heard
from ops.chaos.demo import Demo
from ops.chaos.errors import ChaosError, NotPossible
from ops.chaos.lab import Disturbed, Lab
from ops.chaos.recording import Recording

RECORDING = Recording(bytes(32), 16_000)


class Elsewhere:
    """A demo of which nothing was started by `make run`."""

    http_url, key = "http://127.0.0.1:1", "k"

    def pid(self, service: str) -> int:
        raise NotPossible(f"{service} was not started by `make run`.")

    def wait_well(self) -> None:
        pass

    def billed(self, heard: Heard) -> tuple[int, int]:
        return 0, 0


@pytest.fixture
def there() -> Lab:
    elsewhere: Any = Elsewhere()
    return Lab(elsewhere, RECORDING, _wanted={RECORDING.ms: ["one"]})


def test_a_stream_that_is_over_before_anything_is_broken_proves_nothing(
    there: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Over:
        heard = Heard(finals={0: ("one",)}, ended=True)

        def __init__(self, *arguments: Any) -> None:
            pass

        async def call(self) -> Heard:
            return self.heard

    monkeypatch.setattr(lab, "Caller", Over)
    with pytest.raises(ChaosError, match="over before anything was broken: it ended"):
        there.disturb(lambda heard: None)


def test_a_stream_of_which_nothing_is_heard_after_the_break_is_a_fault(there: Lab) -> None:
    heard = Heard(finals={0: ("one",)}, ended=True)
    assert there.row("a", "b", "c", Disturbed(heard, 0.3)).wrong == ()
    assert there.row("a", "b", "c", Disturbed(heard, None)).wrong == (
        "nothing was heard of what was said after the break",
    )


def test_a_valkey_of_others_is_not_flushed(there: Lab) -> None:
    with pytest.raises(NotPossible):
        servers.valkey_flush(there)


def test_what_is_billed_late_is_waited_for_and_what_is_not_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "RECORDED_S", 0.3)
    found = [([(0, 500)], 0), ([(0, 500), (500, 1000)], 500), ([(0, 500), (500, 1000)], 1000)]
    asked = Demo.__new__(Demo)
    heard = Heard(request_ids={"r"}, sent_ms=1000)
    monkeypatch.setattr(asked, "_billed", lambda stream: found.pop(0) if len(found) > 1 else found[0])
    assert asked.billed(heard) == (0, 0)
    found[:] = [([(0, 500)], 500)]
    assert asked.billed(heard) == (0, 500)
    found[:] = [([(0, 1000), (500, 1000)], 1500)]
    assert asked.billed(heard) == (500, 0)
