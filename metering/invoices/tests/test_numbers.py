from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from metering.invoices.numbers import CREDIT_NOTES, INVOICES, next_number


def test_each_series_counts_for_itself(db: Any) -> None:
    taken = [
        next_number(*one)
        for one in ((INVOICES, 2026), (INVOICES, 2026), (CREDIT_NOTES, 2026), (INVOICES, 2027))
    ]
    assert taken == ["2026-000001", "2026-000002", "CN-2026-000001", "2027-000001"]


@pytest.mark.django_db(transaction=True)
def test_a_number_is_not_taken_outside_a_transaction() -> None:
    with pytest.raises(RuntimeError, match="in the transaction"):
        next_number(INVOICES, 2026)
    with transaction.atomic():
        assert next_number(INVOICES, 2026) == "2026-000001"
