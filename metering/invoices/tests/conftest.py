from __future__ import annotations

import pytest

from metering.invoices.tests.month import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Shows the beginning of 2024."""
    return Clock(monkeypatch)
