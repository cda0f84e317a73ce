"""The local Stripe as ours, and Acme and Rival as its customers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from faults.breaker import Breaker
from metering.payments import client, deliver, retries, sync
from metering.payments.tests import books
from metering.payments.tests.inbox import Inbox


@pytest.fixture
def stripe(local_stripe: Any, monkeypatch: pytest.MonkeyPatch, db: None) -> Any:
    """Its clock stands at noon of books.NOON, and ours with it wherever a test says `now`."""
    monkeypatch.setenv("STRIPE_API_KEY", local_stripe.api_key)
    monkeypatch.setenv("STRIPE_API_BASE", local_stripe.url)
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", local_stripe.webhook_secret)
    # How often the provider may be called is tested for itself.
    monkeypatch.setattr(deliver.turns(), "take", lambda: None)
    # So that what fails can be said again a second later.
    monkeypatch.setattr(retries, "chance", lambda: 0.0)
    monkeypatch.setattr(client, "breaker", Breaker(opens_after=100))
    local_stripe.control("clock", at="2026-11-01T00:00:00+00:00", stand=True)
    return local_stripe


@pytest.fixture
def inbox(stripe: Any) -> Iterator[Inbox]:
    found = Inbox()
    stripe.control("webhook", url=found.url, secret=stripe.webhook_secret)
    yield found
    stripe.control("webhook", url="")
    found.close()


@pytest.fixture
def customers(stripe: Any, acme: Any, rival: Any) -> None:
    sync.Sync().tenants([acme.tenant, rival.tenant])
    stripe.control("clock", at=books.NOON.isoformat())
