from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from faults.breaker import OPENS_AFTER
from gateway import receivers
from gateway.callbacks import Callback
from gateway.receivers import AT_ONCE, LONGEST_PAUSE_S, Busy, Receivers


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def to(host: str, project: str = "mine") -> Callback:
    return Callback(project, uuid.uuid4().hex, 0, f"https://{host}/hook?a=1", "post", "{}", 0.0)


def fails(its: Receivers, what: Callback, times: int = OPENS_AFTER) -> None:
    for _ in range(times):
        assert its.begin(what) == 0
        its.end(what, answered=False)


def test_it_is_tried_again_by_one_after_pauses_that_grow_to_a_bound() -> None:
    clock = Clock()
    its, pauses = Receivers(clock), []
    fails(its, to("dead.example"))
    for _ in range(10):
        pauses.append(its.begin(to("dead.example")))
        clock.now += pauses[-1]
        assert its.begin(to("dead.example")) == 0
        assert its.begin(to("dead.example")) > 0  # one is at it
        its.end(to("dead.example"), answered=False)
    assert 0 < pauses[0] <= 1
    assert LONGEST_PAUSE_S / 2 <= pauses[-1] <= LONGEST_PAUSE_S
    clock.now += LONGEST_PAUSE_S
    assert its.begin(to("dead.example")) == 0
    its.end(to("dead.example"), answered=True)
    assert its.open == 0
    assert its.begin(to("dead.example")) == 0


def test_it_is_a_server_of_a_project_that_is_left_alone() -> None:
    its = Receivers(Clock())
    fails(its, to("dead.example"))
    assert its.begin(to("dead.example")) > 0
    assert its.begin(replace(to("dead.example"), url="http://dead.example/another")) > 0
    for other in (to("dead.example:8443"), to("alive.example"), to("dead.example", "theirs")):
        assert its.begin(other) == 0


def test_a_project_has_so_many_under_way_whatever_its_servers() -> None:
    its = Receivers(Clock())
    under_way = [to(f"{number}.example") for number in range(AT_ONCE)]
    assert [its.begin(one) for one in under_way] == [0] * AT_ONCE
    with pytest.raises(Busy):
        its.begin(to("another.example"))
    assert its.begin(to("another.example", "theirs")) == 0
    its.end(under_way[0], answered=False)
    assert its.begin(to("another.example")) == 0


def test_who_is_turned_away_as_busy_has_not_used_up_the_one_try() -> None:
    clock = Clock()
    its = Receivers(clock)
    fails(its, to("dead.example"))
    for number in range(AT_ONCE):
        its.begin(to(f"{number}.example"))
    clock.now = LONGEST_PAUSE_S
    with pytest.raises(Busy):
        its.begin(to("dead.example"))
    its.end(to("0.example"), answered=True)
    assert its.begin(to("dead.example")) == 0


def test_what_is_known_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "MAX_KNOWN", 10)
    its = Receivers(Clock())
    for number in range(100):
        fails(its, to(f"{number}.example", str(number)))
    assert its.open == 10
    assert not its._under_way
