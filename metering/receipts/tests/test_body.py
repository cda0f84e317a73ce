from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from metering.receipts import body
from metering.receipts.body import Part, Place, Statement, Terms

AT = datetime(2026, 11, 20, 10, tzinfo=UTC)
MONTH = date(2026, 11, 1)
PRICE = Terms("p", "Live", "USD", 60_000, ((6_000_000, "0.0059"), (None, "0.0043")))
PART = Part("r", 0, 5000, AT, MONTH, PRICE)
PLACE = Place(UUID(int=1), 7, 2, AT, "ab" * 32, 3)


def statement(*parts: Part) -> Statement:
    return Statement("r", UUID(int=2), UUID(int=3), "live", "m", "eu", parts)


def test_the_text_is_json_in_one_form_with_all_there_is_to_know():
    text = body.text(statement(PART), PLACE)
    said = json.loads(text)
    assert said == {
        "v": 1, "request_id": "r", "number": 7, "revision": 2, "supersedes": 3, "previous": "ab" * 32,
        "tenant": str(UUID(int=1)), "project": str(UUID(int=2)), "key": str(UUID(int=3)),
        "issued_at": "2026-11-20T10:00:00.000Z", "kind": "live", "model": "m", "region": "eu", "ms": 5000,
        "ranges": [{
            "stream": "r", "from_ms": 0, "to_ms": 5000, "ms": 5000, "at": "2026-11-20T10:00:00.000Z",
            "period": "2026-11-01", "price": "p",
        }],
        "prices": [{
            "id": "p", "label": "Live", "currency": "USD", "included_ms": 60_000,
            "tiers": [
                {"up_to_ms": 6_000_000, "per_minute": "0.0059"}, {"up_to_ms": None, "per_minute": "0.0043"},
            ],
        }],
    }  # fmt: skip
    assert text == json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_a_float_is_no_part_of_it():
    with pytest.raises(TypeError):
        body.canonical({"ranges": [{"ms": 1.5}]})


def test_parts_that_follow_each_other_are_one_whatever_their_order():
    second = replace(PART, from_ms=5000, to_ms=9000, at=AT.replace(hour=11))
    other = replace(PART, from_ms=9000, to_ms=9500, price=None)
    back = replace(PART, from_ms=1000, to_ms=2000, taken_back=True)
    found = body.merged([back, other, second, PART])
    assert [(one.from_ms, one.to_ms, one.ms) for one in found] == [
        (0, 9000, 9000), (9000, 9500, 500), (1000, 2000, -1000),
    ]  # fmt: skip
    assert found[0].at == AT.replace(hour=11)


def test_what_is_billed_is_told_apart_by_stream_period_and_price_and_nothing_else():
    parts = [
        PART,
        replace(PART, from_ms=5000, to_ms=6000),
        replace(PART, stream="r.1"),
        replace(PART, price=None),
    ]
    back = replace(PART, stream="r.1", taken_back=True)
    found = {("r", "2026-11-01", "p"): 6000, ("r.1", "2026-11-01", "p"): 5000, ("r", "2026-11-01", ""): 5000}
    assert body.billed(parts) == body.billed_by(body.text(statement(*parts), PLACE)) == found
    del found["r.1", "2026-11-01", "p"]
    assert body.billed([*parts, back]) == body.billed_by(body.text(statement(*parts, back), PLACE)) == found
