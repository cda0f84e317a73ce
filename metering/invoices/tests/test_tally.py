"""Where each kind of ledger entry goes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from metering.invoices.errors import MixedCurrencies
from metering.invoices.lines import lines_of
from metering.invoices.tally import Tally, tally
from metering.ledger.chain import Line
from metering.rating import PriceLine, Tier

PRICE = PriceLine(UUID(int=1), "Audio", "", "", "", 0, (Tier(None, Decimal("0.06")),))
START = datetime(2024, 1, 1, tzinfo=UTC)


def entry(seq: int = 1, kind: str = "usage", **changes: Any) -> Line:
    audio = kind in ("usage", "correction")
    return Line(
        **{
            "tenant_id": UUID(int=9), "seq": seq, "kind": kind, "at": START, "period": date(2024, 1, 1),
            "rated_in": date(2024, 1, 1) if audio else None, "processed_at": START, "project_id": None,
            "key_id": None, "stream": "s", "request_id": "s", "from_ms": 0, "to_ms": 1000,
            "ms": 1000 if audio else 0, "usage_kind": "live", "model": "m", "region": "eu", "tags": (),
            "price_id": PRICE.id, "currency": "USD", "amount": Decimal("0.001"), "waived": Decimal(0),
            "reason": "", "reference": "", **changes,
        }
    )  # fmt: skip


def of(*entries: Line) -> Tally:
    return tally(entries, START, ZoneInfo("UTC"))


def test_minimum_charges_are_one_line_of_their_price() -> None:
    minimum = [
        entry(seq, "adjustment", reference=f"minimum:{seq}", amount=Decimal("0.01"), waived=Decimal("0.002"))
        for seq in (2, 3)
    ]
    lines, problems = lines_of(of(entry(), *minimum), {PRICE.id: PRICE})
    assert problems == []
    assert [(line["type"], line["amount"]) for line in lines] == [
        ("usage", "0.001000"), ("minimum", "0.024000"), ("waived", "-0.004000"),
    ]  # fmt: skip
    assert lines[1]["requests"] == 2


def test_a_price_is_written_without_an_exponent() -> None:
    cheap = replace(PRICE, tiers=(Tier(None, Decimal("0.0000000001")),))
    (line,), _ = lines_of(of(entry(amount=Decimal(0))), {PRICE.id: cheap})
    assert [part["per_minute"] for part in line["parts"]] == ["0.0000000001"]


@pytest.mark.parametrize("reference", ["", "stripe:pi_1", "credit_note:CN-2026-000001"])
def test_credits_change_no_line_and_no_summary(reference: str) -> None:
    found = of(entry(1, "credit", reference=reference, amount=Decimal(-5)))
    assert lines_of(found, {})[0] == []
    assert not any(found.summaries.values())
    assert [one.amount for one in found.credits] == [-5]
    assert found.all.amount == -5


def test_two_currencies_have_no_sum() -> None:
    with pytest.raises(MixedCurrencies, match="entry 2 is in EUR"):
        of(entry(1), entry(2, currency="EUR"))


def test_what_cost_nothing_has_any_currency() -> None:
    found = of(entry(1, amount=Decimal(0)), entry(2, currency="EUR"), entry(3, amount=Decimal(0)))
    assert (found.currency, found.all.ms) == ("EUR", 3000)


def test_what_the_price_does_not_give_is_told_and_the_lines_add_up_to_the_ledger() -> None:
    lines, problems = lines_of(of(entry(amount=Decimal("0.5"))), {PRICE.id: PRICE})
    assert [str(problem) for problem in problems] == [
        "Audio: the ledger says 0.5, the price line says 0.001000"
    ]
    assert [line["amount"] for line in lines] == ["0.500000"]


def test_ranges_that_touch_are_one() -> None:
    found = of(entry(1), entry(2, from_ms=1000, to_ms=3000, ms=2000), entry(3, from_ms=5000, to_ms=6000))
    (stream,) = found.streams.values()
    assert stream.ranges == [("s", 0, 3000), ("s", 5000, 6000)]
    assert stream.sum.ms == 4000


def test_other_attributes_are_another_line() -> None:
    found = of(entry(1), entry(2, model="other"), entry(3, tags=("x",)), entry(4, tags=("x",)))
    assert [stream.sum.count for stream in found.streams.values()] == [1, 1, 2]
