from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.rating import PriceLine, Tier, Version, choose, cost, cost_of_part, millionths, money

PRICES = st.decimals(0, 100, places=10) | st.decimals(0, 1, places=4) | st.just(Decimal(0))
MS = st.integers(0, 10**12)


def line(*tiers: tuple[int | None, str], included_ms: int = 0, **named: str) -> PriceLine:
    names = {"model": "", "kind": "", "region": "", **named}
    return PriceLine(
        id=uuid4(),
        label="Audio",
        included_ms=included_ms,
        tiers=tuple(Tier(up_to, Decimal(price)) for up_to, price in tiers),
        **names,
    )


@st.composite
def lines(draw: st.DrawFn) -> PriceLine:
    ends = sorted(draw(st.sets(st.integers(1, 10**9), max_size=4)))
    prices = [draw(PRICES) for _ in range(len(ends) + 1)]
    return PriceLine(
        UUID(int=1), "Audio", "", "", "", draw(st.integers(0, 10**7)),
        tuple(Tier(end, price) for end, price in zip([*ends, None], prices, strict=True)),
    )  # fmt: skip


def slowly(price: PriceLine, total_ms: int) -> Decimal:
    """The same by the plainest arithmetic: each tier's share, times its price, rounded at the end."""
    with localcontext() as context:
        context.prec = 100
        charged, begins, exact = max(0, total_ms - price.included_ms), 0, Decimal(0)
        for tier in price.tiers:
            end = charged if tier.up_to_ms is None else min(charged, tier.up_to_ms)
            exact += max(0, end - begins) * tier.per_minute
            begins = max(begins, end)
        # A sixtieth has no end in decimals, so that the rounding is done on the whole number of sixtieths.
        sixtieths = exact / 1000
        return (sixtieths / 60).quantize(Decimal("0.000001"), rounding=ROUND_HALF_UP)


@given(lines(), MS)
def test_it_costs_what_plain_arithmetic_says_and_is_no_float(price: PriceLine, total_ms: int) -> None:
    found = cost(price, total_ms)
    assert type(found) is Decimal
    assert found == slowly(price, total_ms)
    assert found.as_tuple().exponent == -6


@given(lines(), st.lists(st.integers(0, 10**9), max_size=12), st.randoms())
def test_parts_sum_to_the_whole_in_any_order(price: PriceLine, parts: list[int], random: object) -> None:
    whole = cost(price, sum(parts))
    for _ in range(2):
        before, total = 0, Decimal(0)
        for part in parts:
            total += cost_of_part(price, before, part)
            before += part
        assert total == whole
        random.shuffle(parts)  # type: ignore[attr-defined]


@given(lines(), MS, st.data())
def test_what_is_taken_back_gives_back_what_the_total_loses(
    price: PriceLine, before: int, data: st.DataObject
) -> None:
    back = data.draw(st.integers(0, before))
    given_back = cost_of_part(price, before, -back)
    assert given_back <= 0
    assert cost(price, before) + given_back == cost(price, before - back)


@given(lines(), MS, MS)
def test_more_never_costs_less(price: PriceLine, one: int, other: int) -> None:
    assert cost(price, min(one, other)) <= cost(price, max(one, other))


def test_a_tier_goes_up_to_and_with_its_last_millisecond() -> None:
    price = line((60_000, "0.6"), (120_000, "0.3"), (None, "0.06"))
    assert cost(price, 60_000) == Decimal("0.6")
    assert cost_of_part(price, 60_000, 1) == Decimal("0.000005")
    assert cost(price, 120_000) == Decimal("0.9")
    assert cost(price, 180_000) == Decimal("0.96")


def test_included_milliseconds_cost_nothing_and_tiers_begin_after_them() -> None:
    price = line((60_000, "0.6"), (None, "0.06"), included_ms=30_000)
    assert cost(price, 30_000) == 0
    assert cost(price, 90_000) == Decimal("0.6")
    assert cost(price, 150_000) == Decimal("0.66")


def test_a_total_is_rounded_once_half_up() -> None:
    price = line((None, "0.03"))  # half a millionth a millisecond
    assert [cost(price, ms) for ms in (0, 1, 2, 3)] == [
        Decimal(text) for text in ("0", "0.000001", "0.000001", "0.000002")
    ]
    assert [cost_of_part(price, ms, 1) for ms in (0, 1)] == [Decimal("0.000001"), Decimal(0)]


@pytest.mark.parametrize("bad", [-1, 1.0, Decimal(1)])
def test_milliseconds_are_whole_and_not_below_0(bad: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        cost(line((None, "1")), bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad", [0.5, Decimal("-1"), Decimal("0.00000000001"), Decimal("NaN"), Decimal("Infinity")]
)
def test_a_price_is_an_exact_decimal_not_below_0(bad: object) -> None:
    price = PriceLine(uuid4(), "Audio", "", "", "", 0, (Tier(None, bad),))  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError)):
        cost(price, 1)


@given(st.integers(-(10**19), 10**19))
def test_money_and_millionths_are_the_same(whole: int) -> None:
    assert millionths(money(whole)) == whole
    assert f"{money(whole):.6f}" == f"{'-' if whole < 0 else ''}{abs(whole) // 10**6}.{abs(whole) % 10**6:06}"


def test_money_has_no_more_than_six_decimals() -> None:
    assert millionths(Decimal("1E+2")) == 100_000_000
    for bad in (Decimal("0.0000001"), Decimal("NaN")):
        with pytest.raises(ValueError, match="money"):
            millionths(bad)


def test_the_line_that_names_most_is_chosen() -> None:
    anything = line((None, "1"))
    model = line((None, "1"), model="m")
    kind = line((None, "1"), kind="live")
    region = line((None, "1"), region="eu")
    kind_and_region = line((None, "1"), kind="live", region="eu")
    version = Version(
        uuid4(),
        1,
        datetime(2026, 1, 1, tzinfo=UTC),
        "USD",
        0,
        (region, anything, kind, kind_and_region, model),
    )
    assert choose(version, "x", "recorded", "us") is anything
    assert choose(version, "x", "recorded", "eu") is region
    assert choose(version, "x", "live", "us") is kind
    assert choose(version, "m", "live", "us") is model  # of those that name one, the model's
    assert choose(version, "m", "live", "eu") is kind_and_region  # two are more than one


def test_where_no_line_fits_there_is_none() -> None:
    version = Version(uuid4(), 1, datetime(2026, 1, 1, tzinfo=UTC), "USD", 0, (line((None, "1"), model="m"),))
    assert choose(version, "x", "live", "eu") is None
    assert choose(None, "m", "live", "eu") is None
