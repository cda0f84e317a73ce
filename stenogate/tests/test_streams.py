from __future__ import annotations

from typing import Any

from stenogate import streams
from stenogate.receipts import Chain, Receipt


def test_a_price_is_what_every_receipt_says_and_not_only_the_last() -> None:
    def price(per_minute: str) -> dict[str, Any]:
        tiers = [{"up_to_ms": None, "per_minute": per_minute}]
        return {"id": "p", "label": "Audio", "currency": "USD", "included_ms": 0, "tiers": tiers}

    signed = [
        Receipt(number, number, 1, None, None, "", "t", f"r{number}", 0, (), {"p": price(per_minute)})
        for number, per_minute in enumerate(("0.01", "0.02", "0.09"), 1)
    ]
    invoice = {"prices": [price("0.09")], "period": {"first_day": "2026-11-01"}, "streams": []}
    assert streams.check(invoice, Chain(signed, [])) == [
        "price p (Audio): its tiers is not as in receipt 1 (line 1, stream r1)"
    ]
