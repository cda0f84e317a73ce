from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction
from django.utils import timezone

from metering.ledger.errors import PriceCurrency, PriceOutOfTurn, PricesMalformed, PriceTooEarly
from metering.models import PlanVersion, Price
from metering.plans import create_version, version_at
from tenants import services
from tenants.errors import RoleNotAllowed
from tenants.models import AuditEntry
from tenants.scope import staff_scope, tenant_scope

OPEN = [{"up_to_ms": None, "per_minute": "0.0059"}]
LINE = {"label": "Audio", "tiers": OPEN}


def test_a_version_takes_effect_at_its_time_and_is_in_the_audit_log(acme: Any, rival: Any) -> None:
    first = create_version(acme.tenant.plan, None, "USD", [LINE])
    later = timezone.now() + timedelta(days=1)
    second = create_version(
        acme.tenant.plan, later, "USD", [{**LINE, "tiers": [{**OPEN[0], "per_minute": "1"}]}], 5
    )
    assert (first.number, second.number) == (1, 2)
    before = first.effective_from - timedelta(microseconds=1)
    assert version_at(acme.tenant.id, before) is None
    now = version_at(acme.tenant.id, later - timedelta(microseconds=1))
    then = version_at(rival.tenant.id, later)
    assert now is not None
    assert then is not None
    assert (now.id, now.lines[0].tiers[0].per_minute) == (first.id, Decimal("0.0059"))
    assert (then.id, then.minimum_ms, then.lines[0].tiers[0].per_minute) == (second.id, 5, Decimal(1))
    with staff_scope():
        assert AuditEntry.objects.filter(action="plan.priced").count() == 4


def test_a_plan_without_versions_has_no_prices(acme: Any) -> None:
    assert version_at(acme.tenant.id, timezone.now()) is None


def test_only_staff_and_the_system_set_prices(acme: Any) -> None:
    with pytest.raises(RoleNotAllowed):
        create_version(acme.tenant.plan, None, "USD", [LINE], actor=acme.owner)


def test_prices_never_change(acme: Any) -> None:
    create_version(acme.tenant.plan, None, "USD", [LINE])
    with staff_scope():
        for change in (
            lambda: Price.objects.update(included_ms=1),
            lambda: PlanVersion.objects.all()._raw_delete(using="default"),
        ):
            with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
                change()
    with tenant_scope(acme.tenant.id):
        version = PlanVersion.objects.get()
        with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
            Price.objects.create(version=version, label="Mine", model="x", tiers=OPEN)


def test_the_past_and_what_overlaps_another_version_are_refused(acme: Any) -> None:
    plan, now = acme.tenant.plan, timezone.now()
    with pytest.raises(PriceTooEarly):
        create_version(plan, now - timedelta(seconds=1), "USD", [LINE])
    create_version(plan, None, "USD", [LINE])
    with pytest.raises(PriceTooEarly):
        create_version(plan, now + timedelta(seconds=30), "USD", [LINE])
    create_version(plan, now + timedelta(days=9), "USD", [LINE])
    for days in (8, 9):
        with pytest.raises(PriceOutOfTurn):
            create_version(plan, now + timedelta(days=days), "USD", [LINE])
    with pytest.raises(PriceCurrency):
        create_version(plan, now + timedelta(days=10), "EUR", [LINE])
    other = services.create_plan("Other", "other")
    assert create_version(other, None, "EUR", [LINE]).currency == "EUR"
    assert create_version(plan, None, "USD", [LINE]).effective_from > now + timedelta(days=9)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "1 to 200"),
        ("x", "1 to 200"),
        ([1], "line 1 is an object"),
        ([{"tiers": OPEN}], "no label"),
        ([{**LINE, "label": "\0"}], "label"),
        ([{**LINE, "kind": "alive"}], "kind"),
        ([{**LINE, "model": 5}], "model"),
        ([{**LINE, "price": 5}], "'price'"),
        ([{**LINE, "included_ms": -1}], "included_ms"),
        ([{**LINE, "included_ms": 1.0}], "included_ms"),
        ([{**LINE, "included_ms": True}], "included_ms"),
        ([LINE, LINE], "line 2 is for the same"),
        ([{**LINE, "tiers": []}], "tiers"),
        ([{**LINE, "tiers": [{"up_to_ms": 5, "per_minute": "1"}]}], "last tier is open"),
        (
            [{**LINE, "tiers": [{"up_to_ms": None, "per_minute": "1"}, *OPEN]}],
            "above that of the tier before",
        ),
        (
            [{**LINE, "tiers": [{"up_to_ms": 5, "per_minute": "1"}] * 2 + OPEN}],
            "above that of the tier before",
        ),
        ([{**LINE, "tiers": [{"up_to_ms": 0, "per_minute": "1"}, *OPEN]}], "above that of the tier before"),
        ([{**LINE, "tiers": [{"up_to_ms": None, "per_minute": 0.0059}]}], "per_minute is a text"),
        ([{**LINE, "tiers": [{"up_to_ms": None, "per_minute": "0.00000000001"}]}], "10 decimals"),
        ([{**LINE, "tiers": [{"up_to_ms": None, "per_minute": "-1"}]}], "per_minute is a text"),
        ([{**LINE, "tiers": [{"up_to_ms": None, "per_minute": "1e3"}]}], "per_minute is a text"),
        ([{**LINE, "tiers": [{"up_to_ms": None, "per_minute": "2000000"}]}], "at most"),
        ([{**LINE, "tiers": [{"up_to_ms": None}]}], "nothing else"),
    ],
)
def test_lines_that_make_no_sense_are_refused_by_name(acme: Any, lines: Any, says: str) -> None:
    with pytest.raises(PricesMalformed, match=says):
        create_version(acme.tenant.plan, None, "USD", lines)


@pytest.mark.parametrize(
    "bad",
    [{"currency": "usd"}, {"currency": None}, {"minimum_ms": -1}, {"minimum_ms": 0.5},
     {"effective_from": datetime(2030, 1, 1)}],  # noqa: DTZ001
)  # fmt: skip
def test_a_version_that_makes_no_sense_is_refused(acme: Any, bad: dict[str, Any]) -> None:
    with pytest.raises(PricesMalformed):
        create_version(
            acme.tenant.plan,
            bad.get("effective_from"),
            bad.get("currency", "USD"),
            [LINE],
            bad.get("minimum_ms", 0),
        )


def file_of(folder: Path, content: object) -> str:
    path = folder / "prices.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_the_command_sets_and_shows_prices(acme: Any, tmp_path: Path) -> None:
    tiers = [{"up_to_ms": 60_000, "per_minute": "0.01"}, *OPEN]
    good = {"currency": "EUR", "lines": [{**LINE, "model": "big", "kind": "live", "tiers": tiers}]}
    out = StringIO()
    call_command("prices", "show", stdout=out)
    assert "default: no prices, usage costs nothing" in out.getvalue()
    call_command("prices", "set", "default", file_of(tmp_path, good), stdout=out)
    call_command("prices", "show", "default", stdout=out)
    for text in (
        "version 1",
        "EUR",
        "Audio (big live)",
        "up to 60000 ms: 0.01 a minute",
        "all the rest: 0.0059",
    ):
        assert text in out.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is no JSON"),
        ([], "is an object"),
        ({"currency": "USD"}, "is an object"),
        ({"currency": "USD", "lines": [LINE], "x": 1}, "is an object"),
        ({"currency": "USD", "lines": [LINE], "effective_from": "tomorrow"}, "ISO 8601"),
        ({"currency": "USD", "lines": [LINE], "effective_from": 5}, "ISO 8601"),
        (
            {"currency": "USD", "lines": [LINE], "effective_from": "2020-01-01T00:00:00+00:00"},
            "price_too_early",
        ),
        ({"currency": "USD", "lines": []}, "prices_malformed"),
    ],
)
def test_the_command_refuses_a_file_by_name(acme: Any, tmp_path: Path, content: object, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        call_command("prices", "set", "default", file_of(tmp_path, content))


def test_the_command_needs_a_plan_and_a_file(acme: Any, tmp_path: Path) -> None:
    for arguments, says in (
        (("set", "default"), "slug of a plan and a file"),
        (("show", "nothing"), "no plan 'nothing'"),
        (("set", "default", str(tmp_path / "none.json")), "cannot be read"),
    ):
        with pytest.raises(CommandError, match=says):
            call_command("prices", *arguments)


@pytest.mark.parametrize(
    ("now", "begins"),
    [
        (datetime(2026, 11, 20, tzinfo=UTC), "2026-12-01"),
        (datetime(2031, 12, 31, 23, tzinfo=UTC), "2032-01-01"),
    ],
)
def test_the_example_can_be_set_as_it_is(
    acme: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: datetime, begins: str
) -> None:
    monkeypatch.setattr(timezone, "now", lambda: now)
    out = StringIO()
    call_command("prices", "example", stdout=out, stderr=StringIO())
    call_command("prices", "set", "default", file_of(tmp_path, out.getvalue()), stdout=out)
    assert f"default: version 1 from {begins}" in out.getvalue()
