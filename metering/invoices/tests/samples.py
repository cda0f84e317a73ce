"""Documents to be shown, made by hand."""

from __future__ import annotations

from typing import Any

PRICE = "11111111-1111-4111-8111-111111111111"


def stream(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "request_id": f"{number:08x}-0000-4000-8000-000000000000", "processed_at": "2026-11-30T23:30:00Z",
        "ms": 61_234, "amount": "0.006021", "waived": "0.000000", "price": PRICE, "late": False,
        "project": "p", "key": "k", "model": "general", "kind": "live", "region": "eu", "tags": [],
        "ranges": [], "corrected": [], **changes,
    }  # fmt: skip


def line(type_: str = "usage", **changes: Any) -> dict[str, Any]:
    return {
        "type": type_, "description": "Live audio", "price": PRICE, "ms": 7_260_000, "minutes": "121.000",
        "amount": "0.123456", "included_ms": 6_000_000,
        "parts": [
            {"from_ms": 0, "to_ms": 6_000_000, "ms": 6_000_000, "minutes": "100.000", "per_minute": "0",
             "amount": "0.000000"},
            {"from_ms": 6_000_000, "to_ms": 7_260_000, "ms": 1_260_000, "minutes": "21.000",
             "per_minute": "0.0059", "amount": "0.123456"},
        ], **changes,
    }  # fmt: skip


def invoice(**changes: Any) -> dict[str, Any]:
    summary = {
        "projects": [{"id": "p", "name": "Calls", "ms": 7_260_000, "amount": "0.123456"}],
        "tags": [{"name": "", "ms": 7_260_000, "amount": "0.123456"}],
        "models": [{"name": "general", "ms": 7_260_000, "amount": "0.123456"}],
        "kinds": [{"name": "live", "ms": 7_260_000, "amount": "0.123456"}],
        "regions": [{"name": "eu", "ms": 7_260_000, "amount": "0.123456"}],
        "days": [{"name": "2026-12-01", "ms": 7_260_000, "amount": "0.123456"}],
    }
    price = {
        "id": PRICE, "label": "Live audio", "model": "", "kind": "live", "region": "",
        "included_ms": 6_000_000, "tiers": [{"up_to_ms": None, "per_minute": "0.0059"}], "currency": "USD",
        "plan": "Business", "version": 3, "effective_from": "2026-01-01T00:00:00Z", "minimum_ms": 0,
    }  # fmt: skip
    return {
        "v": 1, "kind": "invoice", "state": "final", "number": "2026-000123",
        "seller": {"name": "Example Speech Ltd", "lines": ["1 Wave Street", "Dublin"]},
        "customer": {"legal_name": "Acme GmbH", "address": ["12 Übergasse", "Wien"], "tax_id": "ATU1",
                     "email": "", "account": "acme", "tenant": "t"},
        "period": {"first_day": "2026-12-01", "last_day": "2026-12-31", "time_zone": "Europe/Vienna",
                   "starts_at": "2026-11-30T23:00:00Z", "ends_at": "2026-12-31T23:00:00Z"},
        "issued_on": "2027-01-03", "due_on": "2027-01-17", "currency": "USD", "decimals": 2,
        "mode": "invoice",
        "lines": [line()], "subtotal": "0.123456", "rounding": "-0.003456", "total": "0.12", "due": "0.12",
        "ms": 7_260_000, "credits": [], "prices": [price], "summary": summary, "streams": [stream()],
        "streams_count": 1, "streams_listed": True,
        "ledger": {"first_seq": 1, "last_seq": 9, "entries": 9, "ms": 7_260_000, "amount": "0.123456",
                   "head": "ab" * 32},
        **changes,
    }  # fmt: skip


def credit_note(**changes: Any) -> dict[str, Any]:
    whole = invoice()
    for name in ("prices", "summary", "streams", "streams_count", "streams_listed", "credits"):
        del whole[name]
    return {
        **whole, "kind": "credit_note", "number": "CN-2026-000007", "due_on": "", "reason": "An outage",
        "corrects": {"number": "2026-000123", "issued_on": "2027-01-03", "total": "0.12"},
        "lines": [line("credit", description="Hours of the outage", ms=0, minutes="0.000", amount="0.100000",
                       parts=[], price=None)],
        "subtotal": "0.100000", "rounding": "0.000000", "total": "0.10", **changes,
    }  # fmt: skip
