from __future__ import annotations

from typing import Any

import pytest

from faults.breaker import Breaker
from metering.payments import client, deliver, sync
from metering.reconcile.tests.book import NOON


@pytest.fixture
def stripe(local_stripe: Any, monkeypatch: pytest.MonkeyPatch, acme: Any, rival: Any) -> Any:
    """The local Stripe, with Acme and Rival as its customers, at noon."""
    monkeypatch.setenv("STRIPE_API_KEY", local_stripe.api_key)
    monkeypatch.setenv("STRIPE_API_BASE", local_stripe.url)
    monkeypatch.setattr(deliver.turns(), "take", lambda: None)
    # What it does to many failures in a row is tested for itself.
    monkeypatch.setattr(client, "breaker", Breaker(opens_after=100))
    local_stripe.control("clock", at="2026-11-01T00:00:00+00:00", stand=True)
    sync.Sync().tenants([acme.tenant, rival.tenant])
    local_stripe.control("clock", at=NOON.isoformat())
    return local_stripe
