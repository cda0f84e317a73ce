from __future__ import annotations

from typing import Any

import pytest

from metering.receipts import keys
from metering.receipts.tests.book import priced


@pytest.fixture
def _signing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIPT_KEYS", keys.make("2026-11"))


@pytest.fixture
def _prices(acme: Any, rival: Any) -> None:
    priced(acme, "ours")
    priced(rival, "theirs")
