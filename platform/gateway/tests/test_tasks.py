"""The task with a real Valkey and a real receiver; only the broker in between is left out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
import redis
from celery.exceptions import Retry

from faults.breaker import OPENS_AFTER
from gateway import outbound, receivers, tasks
from gateway.callbacks import IN_ORDER_FOR_S, TRY_FOR_S, Callback
from gateway.outbound import Outbound
from gateway.receivers import AT_ONCE, Receivers
from tests.receiver import Answer, Receiver, receiver


@pytest.fixture(autouse=True)
def _here(valkey_server: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REDIS_URL = valkey_server
    monkeypatch.setattr(outbound, "current", lambda: Outbound((ip_network("127.0.0.1/32"),)))
    ours = Receivers()
    monkeypatch.setattr(receivers, "current", lambda: ours)


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as mine:
        yield mine


def what(url: str, number: int = 0, **changes: object) -> Callback:
    made = Callback(str(uuid.UUID(int=7)), uuid.uuid4().hex, number, url, "post", "{}", time.time())
    return replace(made, **changes)  # type: ignore[arg-type]


def deliver(raw: Callback) -> Retry | None:
    """One run of the task, not called by a worker; the retry that it asks for."""
    try:
        tasks.deliver_callback(raw.as_dict())
    except Retry as retry:
        return retry
    return None


def again(retry: Retry | None) -> Callback:
    assert retry is not None
    assert retry.sig is not None
    return Callback(**retry.sig.args[0])


@pytest.fixture(autouse=True)
def _asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry is looked at here and goes nowhere."""
    task = tasks.deliver_callback

    def retry(args: object = None, countdown: float = 0, **options: object) -> Retry:
        return Retry(when=countdown, sig=task.s(*(args or ())), is_eager=True)  # type: ignore[arg-type,misc]

    monkeypatch.setattr(task, "retry", retry)


def test_what_is_taken_is_over(server: Receiver) -> None:
    assert deliver(what(server.url())) is None
    assert len(server.asked) == 1


def test_what_is_not_taken_comes_again_until_it_is(server: Receiver) -> None:
    answers = [Answer(503), Answer(500), Answer(204)]
    server.answer = lambda asked: answers.pop(0)
    first = what(server.url())
    second = again(retry := deliver(first))
    assert second == replace(first, attempt=1)
    assert 5 <= float(retry.when) <= 10  # type: ignore[union-attr,arg-type]
    third = again(deliver(second))
    assert third.attempt == 2
    assert deliver(third) is None
    assert len({asked.headers["webhook-id"] for asked in server.asked}) == 1


def test_a_day_is_the_end(server: Receiver) -> None:
    server.answer = lambda asked: Answer(503)
    assert deliver(what(server.url(), created=time.time() - TRY_FOR_S, attempt=50)) is None


def test_one_waits_for_the_one_before_it_but_not_for_ever(server: Receiver) -> None:
    first = what(server.url())
    second = replace(first, number=1)
    waiting = deliver(second)
    assert waiting is not None
    assert server.asked == []
    assert deliver(first) is None
    assert deliver(second) is None
    assert [asked.headers["webhook-id"][-1] for asked in server.asked] == ["0", "1"]
    late = replace(first, number=5, created=time.time() - IN_ORDER_FOR_S)
    assert deliver(late) is None


def test_one_that_is_given_up_holds_up_no_other(server: Receiver) -> None:
    server.answer = lambda asked: Answer(404 if asked.headers["webhook-id"].endswith("_0") else 200)
    first = what(server.url())
    assert deliver(first) is None
    assert deliver(replace(first, number=1)) is None
    assert len(server.asked) == 2


def test_a_project_has_so_many_waiting_and_no_more(
    server: Receiver, valkey_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "MAX_WAITING", 2)
    server.answer = lambda asked: Answer(503)
    project = str(uuid.uuid4())
    retries = [deliver(what(server.url(), project=project)) for _ in range(4)]
    assert [retry is not None for retry in retries] == [True, True, False, False]
    monkeypatch.setattr(receivers, "current", Receivers)  # its pause is over
    server.answer = lambda asked: Answer(200)
    assert deliver(again(retries[0])) is None
    with redis.Redis.from_url(valkey_server) as valkey:
        assert valkey.get(f"steno:callback:waiting:{project}") == b"1"
    server.answer = lambda asked: Answer(503)
    assert deliver(what(server.url(), project=project)) is not None


def test_a_server_that_does_not_answer_is_left_alone_and_delays_nobody_else(
    server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver() as gone:
        dead = gone.url()
    ours, theirs = str(uuid.uuid4()), str(uuid.uuid4())
    waiting = [again(deliver(what(dead, project=ours))) for _ in range(OPENS_AFTER)]
    with monkeypatch.context() as untried:
        untried.setattr(tasks.callbacks, "send", lambda *_: pytest.fail("it is not left alone"))
        assert all(again(deliver(one)).attempt == 2 for one in waiting)
    # Another server of the same project, and the same server for another one, are tried as ever.
    assert deliver(what(server.url(), project=ours)) is None
    assert again(deliver(what(dead, project=theirs))).attempt == 1
    assert receivers.current().open == 1


def test_a_project_with_slow_servers_has_some_threads_and_not_all(server: Receiver) -> None:
    slow = str(uuid.uuid4())
    for _ in range(AT_ONCE):
        assert receivers.current().begin(what(server.url(), project=slow)) == 0
    one = what(server.url(), project=slow)
    retry = deliver(one)
    assert again(retry) == replace(one, attempt=1)
    assert 0.5 <= float(retry.when) <= 1  # type: ignore[union-attr,arg-type]
    assert deliver(what(server.url())) is None
    receivers.current().end(what(server.url(), project=slow), answered=True)
    assert deliver(one) is None


def test_those_that_find_their_project_busy_are_so_many_ask_less_and_less_often_and_end(
    server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "MAX_WAITING", 2)
    slow, now = str(uuid.uuid4()), time.time()
    for _ in range(AT_ONCE):
        assert receivers.current().begin(what(server.url(), project=slow)) == 0
    minute_old, day_old = (what(server.url(), project=slow, created=now - age) for age in (60, TRY_FOR_S))
    retry = deliver(minute_old)
    assert 30 <= float(retry.when) <= 62  # type: ignore[union-attr,arg-type]
    assert deliver(day_old) is None
    assert deliver(what(server.url(), project=slow)) is not None
    assert deliver(what(server.url(), project=slow)) is None  # the third
    assert deliver(again(retry)) is not None


def test_without_valkey_nothing_is_lost_and_nothing_said_of_it(
    server: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    one = what(server.url())
    retry = deliver(one)
    assert again(retry) == one
    assert 1 <= float(retry.when) <= 2  # type: ignore[union-attr,arg-type]
    assert server.asked == []


def test_what_is_published_is_described_without_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[tuple[object, dict[str, object]]] = []
    monkeypatch.setattr(
        tasks.deliver_callback, "apply_async", lambda args, **options: published.append((args, options))
    )
    one = what("https://example.com/secret")
    tasks.publish(Callback.task, [one.as_dict()])
    ((args, options),) = published
    assert args == (one.as_dict(),)
    assert options["argsrepr"] == f"callback 0 of {one.request_id}"
