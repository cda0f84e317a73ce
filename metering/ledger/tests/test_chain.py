from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest

from metering.ledger.chain import START, Line, canonical, hash_of, seal

LINE = Line(
    tenant_id=UUID(int=1), seq=7, kind="usage", at=datetime(2026, 11, 20, 12, tzinfo=UTC),
    period=date(2026, 11, 1), processed_at=datetime(2026, 11, 20, 11, 59, 59, 5, tzinfo=UTC),
    project_id=UUID(int=2), key_id=UUID(int=3), stream="s.1", request_id="s", from_ms=0, to_ms=5000, ms=5000,
    usage_kind="live", model="m", region="eu", tags=("ü", '"'), price_id=UUID(int=4), currency="USD",
    rated_in=date(2026, 11, 1), amount=Decimal("0.005"), waived=Decimal(0), reason="", reference="r",
)  # fmt: skip
OTHER: dict[type, Any] = {
    UUID: UUID(int=9), int: 99, str: "other", datetime: datetime(2000, 1, 1, tzinfo=UTC),
    date: date(2000, 1, 1),
    tuple: ("other",), Decimal: Decimal("1.5"),
}  # fmt: skip


def test_the_text_of_an_entry_is_what_it_always_was() -> None:
    """A change of it would break every chain there is."""
    assert canonical(LINE) == (
        '[1,"00000000-0000-0000-0000-000000000001",7,"usage","2026-11-20T12:00:00.000000+00:00","2026-11-01",'
        '"2026-11-20T11:59:59.000005+00:00","00000000-0000-0000-0000-000000000002",'
        '"00000000-0000-0000-0000-000000000003","s.1","s",0,5000,5000,"live","m","eu",["ü","\\""],'
        '"00000000-0000-0000-0000-000000000004","USD","2026-11-01","0.005000","0.000000","","r"]'
    )
    assert hash_of(LINE) == sha256(START + canonical(LINE).encode()).digest()


def test_however_a_value_is_written_the_text_is_the_same() -> None:
    elsewhere = LINE.at.astimezone(timezone(timedelta(hours=5)))
    same = replace(LINE, at=elsewhere, amount=Decimal("0.005000"), waived=Decimal("0E-6"))
    assert canonical(same) == canonical(LINE)


@pytest.mark.parametrize(
    "name", [one.name for one in fields(Line) if one.name not in ("previous_hash", "hash")]
)
def test_each_column_is_in_the_hash(name: str) -> None:
    value = getattr(LINE, name)
    other = replace(LINE, **{name: OTHER[type(value)]})
    assert hash_of(other) != hash_of(LINE)
    if name in ("project_id", "key_id", "from_ms", "to_ms", "price_id", "rated_in"):
        assert hash_of(replace(LINE, **{name: None})) != hash_of(LINE)


def test_the_hash_before_is_in_the_hash() -> None:
    one, other = replace(LINE), replace(LINE)
    seal(one, START)
    seal(other, bytes(31) + b"\x01")
    assert one.hash != other.hash
    assert (one.hash, one.previous_hash) == (hash_of(LINE), START)
