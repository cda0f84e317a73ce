from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.rest.tests.conftest import Asker
from metering.tasks import record_requests
from metering.tests.test_tasks import request

FIRST = datetime.fromisoformat("2026-01-01T10:00:00+00:00")


@pytest.fixture
def at(acme: Any) -> str:
    return f"/v1/projects/{acme.project.id}/requests"


def logged(household: Any, *names: str, **changes: Any) -> None:
    """The later a name comes, the later the request began."""
    record_requests(
        [
            request(household, name, started_at=(FIRST + timedelta(minutes=number)).isoformat(), **changes)
            for number, name in enumerate(names)
        ]
    )


def ids(ask: Asker, path: str) -> list[str]:
    answer = ask.get(path)
    assert answer.status == 200, answer.body
    return [one["request_id"] for one in answer.body["requests"]]


def test_a_request_is_told_in_deepgrams_shape(ask: Asker, acme: Any, at: str) -> None:
    logged(acme, "r", billed_ms=10_000, channels=2)
    [listed] = ask.get(at).body["requests"]
    assert ask.get(f"{at}/r").body == {"request": listed}
    assert (listed["code"], listed["outcome"], listed["path"]) == (200, "done", "/v1/listen")
    assert (listed["audio_seconds"], listed["billed_seconds"], listed["channels"]) == (5, 10, 2)
    assert listed["api_key_id"] == str(acme.key.id)
    details = listed["response"]["details"]
    assert (details["duration"], details["method"], details["tags"]) == (5, "streaming", ["call"])
    assert "message" not in listed["response"]


def test_a_request_that_failed_says_why(ask: Asker, acme: Any, at: str) -> None:
    logged(acme, "bad", outcome="worker_lost", status=503)
    logged(acme, "good")
    assert ids(ask, f"{at}?status=failed") == ["bad"]
    assert ids(ask, f"{at}?status=succeeded") == ["good"]
    found = ask.get(f"{at}/bad").body["request"]
    assert (found["code"], found["response"]["message"]) == (503, "worker_lost")


QUERIES = {
    "": ["d", "c", "b", "a"],
    "limit=2": ["d", "c"],
    "limit=2.0&page=1.0": ["b", "a"],
    "limit=2&page=0": ["d", "c"],
    "limit=2&page=9": [],
    "start=2026-01-01T10:02:00Z": ["d", "c"],
    "end=2026-01-01T10:02:00Z": ["b", "a"],
    "start=2026-01-01&end=2026-01-01": ["d", "c", "b", "a"],
    "end=2025-12-31": [],
    "request_id=b": ["b"],
    "tag=call": ["d", "c", "b", "a"],
    "tag=other": [],
    "method=streaming": ["d", "c", "b", "a"],
    "method=sync": [],
    "method=async": [],
    "endpoint=listen&deployment=self-hosted": ["d", "c", "b", "a"],
    "endpoint=agent": [],
    "accessor=00000000-0000-4000-8000-000000000000": [],
}
NONSENSE = {
    "limit=1001": "limit",
    "page=-1": "page",
    "page=1.5": "page",
    "page=10000&limit=2": "page",
    "page=0&cursor=x": "page, cursor",
    "cursor=x": "cursor",
    "cursor=": "cursor",
    "start=soon": "start",
    "request_id=%00": "request_id",
    "tag=%0a": "tag",
}


def test_requests_are_found(ask: Asker, acme: Any, rival: Any, at: str) -> None:
    logged(acme, "a", "b", "c", "d")
    logged(rival, "a", "theirs")
    assert {query: ids(ask, f"{at}?{query}") for query in QUERIES} == QUERIES


def test_what_makes_no_sense_is_named(ask: Asker, at: str) -> None:
    for query, named in NONSENSE.items():
        answer = ask.get(f"{at}?{query}")
        assert (answer.status, answer.code) == (400, "bad_parameter"), query
        assert named in answer.body["details"]


def test_pages_show_every_request_once_while_others_end(ask: Asker, acme: Any, at: str) -> None:
    names = [f"r{number}" for number in range(9)]
    logged(acme, *names)
    logged(acme, "same time")  # as r0
    seen, cursor, late = [], "", 0
    while True:
        page = ask.get(f"{at}?limit=3{cursor}").body
        seen += [one["request_id"] for one in page["requests"]]
        late += 1
        # One that has begun meanwhile, and one that had begun long before and has ended now.
        record_requests([request(acme, f"new {late}", started_at="2027-01-01T00:00:00+00:00")])
        if late == 1:
            record_requests([request(acme, "old", started_at="2025-01-01T00:00:00+00:00")])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen))
    assert set(seen) == {*names, "same time", "old"}


def test_a_page_by_number_goes_on_by_cursor(ask: Asker, acme: Any, at: str) -> None:
    logged(acme, "a", "b", "c", "d", "e")
    second = ask.get(f"{at}?limit=2&page=1").body
    assert (second["page"], second["limit"]) == (1, 2)
    assert ids(ask, f"{at}?limit=2&cursor={second['next_cursor']}") == ["a"]
