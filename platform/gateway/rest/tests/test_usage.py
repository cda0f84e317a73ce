from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from gateway import catalogue
from gateway.rest.tests.conftest import Asker
from metering.ledger.post import post_due
from metering.tasks import record_requests, record_usage
from metering.tests.test_tasks import event, request

HOUR = 3_600_000


@pytest.fixture
def at(acme: Any) -> str:
    return f"/v1/projects/{acme.project.id}/usage"


@pytest.fixture
def today() -> str:
    return timezone.now().date().isoformat()


@pytest.fixture
def _used(acme: Any, rival: Any) -> None:
    now = timezone.now().isoformat()
    record_usage([
        event(acme, 0, HOUR, stream="a"),
        event(acme, HOUR, 2 * HOUR, stream="a"),
        event(acme, 0, HOUR, stream="b.0", model="n", kind="recorded", tags=["x", "y"]),
        event(acme, 0, HOUR, stream="b.1", model="n", kind="recorded", tags=["x", "y"]),
        event(acme, 0, HOUR, stream="other", project=str(uuid.uuid4())),
        event(rival, 0, 5 * HOUR, stream="a"),
    ])  # fmt: skip
    post_due()
    record_requests([
        request(acme, "a", started_at=now, ended_at=now),
        request(acme, "b", started_at=now, ended_at=now, model="n", kind="recorded", tags=["x", "y"]),
        request(rival, "a", started_at=now, ended_at=now),
    ])  # fmt: skip


@pytest.mark.usefixtures("_used")
def test_usage_is_added_up_by_day(ask: Asker, at: str, today: str) -> None:
    answer = ask.get(at).body
    assert answer["end"] == today
    assert answer["resolution"] == {"units": "day", "amount": 1}
    [day] = answer["results"]
    # A stream of two channels is an hour of audio, and two are billed.
    assert day == {
        "start": today, "end": today, "hours": 3, "total_hours": 4, "billed_seconds": 14_400, "requests": 2,
    }  # fmt: skip


FILTERS = {
    "model=m": 2,
    "model=n": 2,
    f"model={catalogue.uuid_of('m')}": 2,
    "model=nova": 0,
    "tag=x": 2,
    "tag=call": 2,
    "tag=z": 0,
    "method=streaming": 2,
    "method=sync": 2,
    "method=async": 0,
    "endpoint=listen": 4,
    "endpoint=speak": 0,
    "deployment=self-hosted": 4,
    "deployment=hosted": 0,
    f"accessor={uuid.uuid4()}": 0,
    "start=2020-01-01&end=2020-02-01": 0,
}


@pytest.mark.usefixtures("_used")
def test_usage_is_filtered(ask: Asker, at: str) -> None:
    def hours(query: str) -> float:
        return sum(day["total_hours"] for day in ask.get(f"{at}?{query}").body["results"])

    assert {query: hours(query) for query in FILTERS} == FILTERS


@pytest.mark.usefixtures("_used")
def test_usage_of_a_key(ask: Asker, acme: Any, at: str) -> None:
    [day] = ask.get(f"{at}?accessor={acme.key.id}").body["results"]
    assert (day["total_hours"], day["requests"]) == (4, 2)


NONSENSE = {
    "diarize=true": "diarize",
    "language=true": "language",
    "accessor=me": "accessor",
    "tag=": "tag",
    "tag=%00": "tag",
    "model=" + "x" * 200: "model",
    "method=odd": "method",
    "start=soon": "start",
    "start=2020-01-01": "366 days",
}


def test_a_filter_that_cannot_be_is_refused_rather_than_passed_over(ask: Asker, at: str) -> None:
    for path in (at, f"{at}/breakdown"):
        for query, named in NONSENSE.items():
            answer = ask.get(f"{path}?{query}")
            assert (answer.status, answer.code) == (400, "bad_parameter"), query
            assert named in answer.body["details"]


PARTS: dict[str, dict[Any, tuple[float, int]]] = {
    "models": {("m",): (2, 1), ("n",): (2, 1)},
    "method": {"streaming": (2, 1), "sync": (2, 1)},
    "tags": {("call",): (2, 1), ("x", "y"): (2, 1)},
    "endpoint": {"listen": (4, 2)},
    "deployment": {"self-hosted": (4, 2)},
}


@pytest.mark.usefixtures("_used")
def test_usage_is_split_up(ask: Asker, at: str, today: str) -> None:
    for grouping, parts in PARTS.items():
        found = {}
        for part in ask.get(f"{at}/breakdown?grouping={grouping}").body["results"]:
            group = part["grouping"]
            assert group["start"] == today
            name = group[grouping]
            found[tuple(name) if isinstance(name, list) else name] = (part["total_hours"], part["requests"])
            assert part["agent_hours"] == part["tokens_in"] == part["tts_characters"] == 0
        assert found == parts


@pytest.mark.usefixtures("_used")
def test_usage_is_split_up_by_key_and_not_at_all(ask: Asker, acme: Any, at: str) -> None:
    [part] = ask.get(f"{at}/breakdown?grouping=accessor").body["results"]
    assert part["grouping"]["accessor"] == str(acme.key.id)
    [whole] = ask.get(f"{at}/breakdown").body["results"]
    assert whole["total_hours"] == 4
    assert {name for name, value in whole["grouping"].items() if value is not None} == {"start", "end"}
    assert ask.get(f"{at}/breakdown?grouping=mood").code == "bad_parameter"


@pytest.mark.usefixtures("_used")
def test_what_there_is_to_filter_by(ask: Asker, at: str) -> None:
    answer = ask.get(f"{at}/fields").body
    assert answer["tags"] == ["call", "x", "y"]
    assert [model["name"] for model in answer["models"]] == ["m", "n"]
    assert answer["processing_methods"] == ["streaming", "sync"]
    long_ago = ask.get(f"{at}/fields?start=2020-01-01&end=2020-01-31").body
    assert long_ago["models"] == long_ago["tags"] == []


def test_more_parts_than_anybody_reads_are_refused(
    ask: Asker, acme: Any, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metering.reports.MAX_ROWS", 3)
    record_usage([event(acme, stream=f"s{n}", tags=[f"call {n}"]) for n in range(4)])
    post_due()
    assert ask.get(at).status == 200
    assert ask.get(f"{at}/breakdown?grouping=tags").code == "bad_parameter"


def test_a_day_is_of_the_reports_own_time(ask: Asker, at: str) -> None:
    last = (timezone.now() - timedelta(days=30)).date().isoformat()
    assert ask.get(at).body["start"] == last
