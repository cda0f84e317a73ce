from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest
import stripe as library

from metering.payments import client
from metering.payments.errors import NotConfigured, PaymentsError


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


def test_the_library_keeps_nothing_of_this_machine() -> None:
    assert not library.enable_telemetry
