from __future__ import annotations

import json
import uuid
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from regions import selectors, services
from regions.management.commands import region as module
from regions.services import Report

pytestmark = pytest.mark.django_db


def region(*arguments: str) -> str:
    out = StringIO()
    call_command("region", *arguments, stdout=out)
    return out.getvalue().strip()


def report(streams: int = 0, version: int = 0, **more: Any) -> None:
    values = {"label": "host:1", "region": "eu", "room": 9, "workers_room": 20, "draining": False, **more}
    services.report(Report(uuid.UUID(int=1), streams=streams, version=version, **values))


@pytest.fixture
def eu(db) -> None:
    region("add", "eu", "--address", "https://eu.example.com", "--zone", "europe", "--capacity", "50")


def test_what_there_is() -> None:
    assert region("status") == "No region is written down, and no gateway reports."
    assert "eu is added (configuration 1)." in region("add", "eu", "--address", "https://eu.example.com")
    assert region("add", "eu", "--unless-there") == "eu is there already."
    assert "eu is changed (configuration 2)." in region("set", "eu", "--capacity", "70")
    report(streams=3, version=1)
    head, row = region("status").splitlines()
    assert head.split() == [
        "REGION", "STATE", "GATEWAYS", "STREAMS", "ROOM", "CAPACITY", "CONFIG", "ZONE", "ADDRESS",
    ]  # fmt: skip
    assert row.split("  ")[0] == "eu"
    assert "  1 (1 behind)  " in row
    assert row.endswith("https://eu.example.com")
    report(streams=3, version=2)
    *_, process = region("status", "eu").splitlines()
    assert process == "  host:1: 3 streams, room for 9, 2 (current)"
    (told,) = json.loads(region("status", "--json"))["regions"]
    assert (told["name"], told["streams"], told["room"], told["processes"][0]["version"]) == ("eu", 3, 9, 2)
    region("set", "eu", "--capacity", "none")
    assert selectors.view().regions["eu"].capacity is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status", "mars"], "There is no region 'mars'. There are: eu."),
        (["drain", "mars"], "There is no region 'mars'. There are: eu."),
        (["add", "eu"], "There is a region of this name already."),
        (["add", "us", "--address", "us.example.com"], "An address is http:// or https:// and a host"),
        (["add", "us", "--capacity", "many"], "give a whole number of streams above 0, or none, not 'many'"),
        (["add", "us", "--capacity", "0"], "give a whole number of streams above 0, or none, not '0'"),
        (["drain", "eu", "--within", "-1"], "give a number of seconds from 0 to 86400, not '-1'"),
        (["drain", "eu", "--within", "soon"], "give a number of seconds from 0 to 86400, not 'soon'"),
        (["add", "us", "--address", "https://EU.example.com"], "another region has it already: eu"),
        (["set", "eu"], "Give --address, --zone or --capacity."),
        (["remove", "eu"], "invalid choice: 'remove'"),
    ],
)
def test_what_it_refuses(eu: None, words: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=f"(?s).*{said}"):
        region(*words)


class Clock:
    """Time passes when somebody sleeps, and then the gateway says something else."""

    def __init__(self, *says: Any) -> None:
        self.now, self._says = 0.0, iter(says)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        say = next(self._says, None)
        if say is KeyboardInterrupt:
            raise KeyboardInterrupt
        if say is not None:
            report(**say)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(*says: Any) -> None:
        monkeypatch.setattr(module, "time", Clock(*says))

    return use


def test_a_drain_is_watched_until_nothing_is_left(eu: None, clock: Any) -> None:
    report(streams=2, version=1)
    clock({"streams": 2, "version": 2}, {"streams": 1, "version": 2}, {"streams": 0, "version": 2})
    assert region("drain", "eu").splitlines() == [
        "eu takes no new streams (configuration 2).",
        "  2 streams left; host:1 2; not yet told: host:1",
        "  2 streams left; host:1 2",
        "  1 stream left; host:1 1",
        "  0 streams left",
        "eu is drained.",
    ]
    assert selectors.view().regions["eu"].state == "draining"
    assert region("undrain", "eu") == "eu takes streams (configuration 3)."
    assert selectors.view().regions["eu"].state == "active"


def test_a_drain_whose_time_is_over_says_so_with_its_exit_code(eu: None, clock: Any) -> None:
    report(streams=2, version=1)
    clock({"streams": 2, "version": 2})
    with pytest.raises(CommandError, match=r"2 left after 3 s\. They go on") as ended:
        region("drain", "eu", "--within", "3")
    assert ended.value.returncode == module.STREAMS_LEFT == 3


def test_a_drain_that_nobody_watches_any_more_goes_on(eu: None, clock: Any) -> None:
    report(streams=2, version=1)
    clock(KeyboardInterrupt)
    with pytest.raises(CommandError, match="eu goes on draining") as ended:
        region("drain", "eu")
    assert ended.value.returncode == 130
    assert region("drain", "eu", "--no-wait") == "eu takes no new streams (configuration 2)."


def test_down_and_up(eu: None) -> None:
    assert region("down", "eu") == "eu is out of service (configuration 2)."
    assert selectors.view().regions["eu"].state == "down"
    assert region("up", "eu") == "eu takes streams (configuration 3)."
