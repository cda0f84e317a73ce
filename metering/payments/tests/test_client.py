from __future__ import annotations

import logging
import socket
import traceback
from typing import Any

import pytest
import stripe as library

from faults.breaker import OPENS_AFTER, Breaker
from metering.payments import client
from metering.payments.errors import (
    Ambiguous,
    NotConfigured,
    PaymentsError,
    Permanent,
    RateLimited,
    Transient,
    Unreachable,
)


def test_without_a_key_there_is_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIPE_API_KEY", raising=False)
    assert not client.configured()
    with pytest.raises(NotConfigured):
        client.connect()


def test_another_key_sees_other_objects_and_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for key in ("sk_test_one", "sk_test_two", "sk_test_two"):
        monkeypatch.setenv("STRIPE_API_KEY", key)
        names.add(client.provider_account())
    assert len(names) == 2
    assert not any("sk_test" in name for name in names)


def test_a_live_key_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, live in (("sk_live_1", True), ("rk_live_1", True), ("sk_test_1", False)):
        monkeypatch.setenv("STRIPE_API_KEY", key)
        assert client.is_live() is live


def test_an_error_goes_on_without_what_the_provider_said() -> None:
    with pytest.raises(PaymentsError) as raised, client.naming_errors():
        raise library.InvalidRequestError("of jane@acme.example", None, http_status=400)
    assert "jane" not in "".join(traceback.format_exception(raised.value))


def test_nothing_of_the_library_is_logged(stripe: Any, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("stripe").setLevel(logging.WARNING)  # as config.settings has it
    with caplog.at_level(logging.INFO), pytest.raises(PaymentsError), client.naming_errors():
        client.connect().v1.customers.retrieve("cus_of_jane")
    assert "cus_of_jane" not in caplog.text


def test_a_stripe_that_is_not_there_is_not_asked_before_a_pause_is_over(
    stripe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "breaker", Breaker())

    def ask() -> None:
        with client.asking():
            client.connect().v1.customers.list({"limit": 1})

    with socket.socket() as taken:  # ours, and nobody listens
        taken.bind(("127.0.0.1", 0))
        with monkeypatch.context() as away:
            away.setenv("STRIPE_API_BASE", f"http://127.0.0.1:{taken.getsockname()[1]}")
            for _ in range(OPENS_AFTER):
                with pytest.raises(Ambiguous):
                    ask()
    assert client.is_resting()
    with pytest.raises(Unreachable) as refused:
        ask()  # though it is there now
    assert 0 < refused.value.retry_after <= 1
    client.breaker.retry_at = 0.0
    ask()
    ask()
    assert not client.breaker.open


def test_that_stripe_refuses_is_an_answer(stripe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker())
    for status, kind in ((404, Permanent), (429, RateLimited), (401, Transient)):
        if status != 404:
            stripe.control("faults", path="/v1/customers/*", kind="status", status=status, times=OPENS_AFTER)
        for _ in range(OPENS_AFTER):
            with pytest.raises(kind), client.asking():
                client.connect().v1.customers.retrieve("cus_nobody")
    assert not client.breaker.open


def test_the_library_keeps_nothing_of_this_machine() -> None:
    assert not library.enable_telemetry
