"""What a task says and a gateway hears, over a real Valkey."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import OperationalError

from metering import services, stored
from metering.tasks import record_requests, record_usage
from metering.tests.test_tasks import event, request


@pytest.fixture
def gateway(valkey_server: str) -> str:
    name = uuid.uuid4().hex
    assert stored.look(name, []) == (True, set())  # it does not know us yet
    return name


def test_what_is_said_is_heard_once(gateway: str) -> None:
    ours, theirs = uuid.uuid4().hex, uuid.uuid4().hex
    stored.say(ours)
    assert stored.look(gateway, [ours, theirs]) == (False, {ours})
    assert stored.look(gateway, [ours, theirs]) == (False, set())


def test_a_valkey_that_has_lost_its_memory_is_noticed_once(gateway: str) -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete(stored.MEMORY_KEY + gateway)  # as by FLUSHALL
    assert stored.look(gateway, ["x"])[0]
    assert not stored.look(gateway, ["x"])[0]


def test_nothing_of_it_stays_in_valkey_for_ever(gateway: str) -> None:
    name = uuid.uuid4().hex
    stored.say(name)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        for key in (stored.MEMORY_KEY + gateway, stored.STORED_KEY + name):
            assert 0 < client.ttl(key) <= stored.KEEP_S


def test_a_batch_that_nobody_waits_for_is_not_mentioned(gateway: str) -> None:
    stored.say("")
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        assert not client.exists(stored.STORED_KEY)


@pytest.mark.parametrize(("task", "record"), [(record_usage, event), (record_requests, request)])
def test_a_task_says_so_when_it_has_stored_all_and_not_before(
    acme: Any, rival: Any, gateway: str, task: Any, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Any) -> None:
        raise OperationalError

    batch, raw = uuid.uuid4().hex, [record(acme), record(rival)]
    with monkeypatch.context() as patched:
        patched.setattr(services, "record", away)
        patched.setattr(services, "record_requests", away)
        with pytest.raises(OperationalError):
            task.run(raw, batch)
    assert stored.look(gateway, [batch]) == (False, set())
    task.run(raw, batch)
    assert stored.look(gateway, [batch]) == (False, {batch})


def test_without_valkey_what_is_stored_stays_stored(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = redis.Redis.from_url("redis://127.0.0.1:1/0")
    monkeypatch.setattr(stored, "_client", lambda: nobody)
    record_usage.run([event(acme)], uuid.uuid4().hex)
    nobody.close()
