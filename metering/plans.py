"""What a plan costs and from when on. Versions are only added: what was processed is never rated again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from metering.events import KINDS
from metering.ledger.errors import PriceCurrency, PriceOutOfTurn, PricesMalformed, PriceTooEarly
from metering.models import PlanVersion, Price
from metering.rating import PRICE_DECIMALS, PriceLine, Tier, Version
from tenants.models import Plan, Tenant
from tenants.permissions import Permission
from tenants.scope import staff_scope, tenant_scope
from tenants.services.audit import Actor, permit, record_for_all, user_of

# Processes that charge usage look for new versions each time, but their clocks differ a little.
NOTICE = timedelta(minutes=1)
MAX_PER_MINUTE = Decimal(1_000_000)
MAX_MS = 10**15
MAX_LINES = 200
MAX_TIERS = 20


@dataclass(frozen=True)
class History:
    """Which versions of which plans one tenant's usage is rated by."""

    # When the tenant left a plan, and which; in order. Then the plan it is on.
    left: tuple[tuple[datetime, str], ...]
    plan: str
    versions: Mapping[str, tuple[Version, ...]]  # by the plan's slug, in order

    def at(self, instant: datetime) -> Version | None:
        plan = next((slug for until, slug in self.left if instant < until), self.plan)
        found = None
        for version in self.versions.get(plan, ()):
            if version.effective_from > instant:
                break
            found = version
        return found


_HISTORY = """
WITH tenant AS (
    SELECT t.id, p.slug FROM tenants_tenant t JOIN tenants_plan p ON p.id = t.plan_id WHERE t.id = %(tenant)s
), moves AS (
    SELECT a.at, a.details->>'before' AS slug FROM tenants_auditentry a
    WHERE a.tenant_id = %(tenant)s AND a.action = 'tenant.plan_changed'
)
SELECT p.slug, NULL::timestamptz, v.id, v.number, v.effective_from, v.currency, v.minimum_ms, t.slug
FROM tenant t, tenants_plan p LEFT JOIN metering_planversion v ON v.plan_id = p.id
WHERE p.slug = t.slug OR p.slug IN (SELECT slug FROM moves)
UNION ALL SELECT slug, at, NULL, NULL, NULL, NULL, NULL, NULL FROM moves
"""


def history_of(tenant_id: UUID) -> History:
    """Inside the tenant's scope."""
    left: list[tuple[datetime, str]] = []
    plan = ""
    found: dict[str, list[Version]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_HISTORY, {"tenant": tenant_id})
        for slug, at, version, number, effective_from, currency, minimum_ms, current in cursor.fetchall():
            if at is not None:
                left.append((at, slug))
                continue
            plan = current
            if version is not None:
                lines = _lines(version)
                found.setdefault(slug, []).append(
                    Version(version, number, effective_from, currency, minimum_ms, lines)
                )
    ordered = {
        slug: tuple(sorted(versions, key=lambda one: one.effective_from)) for slug, versions in found.items()
    }
    return History(tuple(sorted(left)), plan, ordered)


def version_at(tenant_id: UUID, instant: datetime) -> Version | None:
    """By which what the tenant had processed at `instant` is rated. None: it costs nothing."""
    with tenant_scope(tenant_id):
        return history_of(tenant_id).at(instant)


def line_of(price_id: UUID) -> PriceLine:
    """Inside any scope. Prices never change, so that they may be kept."""
    return _line(price_id)


@lru_cache(maxsize=1024)
def _lines(version_id: UUID) -> tuple[PriceLine, ...]:
    """Prices of a version are made in its transaction and never change: whoever sees it sees them all."""
    return tuple(_as_line(price) for price in Price.objects.filter(version_id=version_id).order_by("id"))


@lru_cache(maxsize=4096)
def _line(price_id: UUID) -> PriceLine:
    return _as_line(Price.objects.get(id=price_id))


def _as_line(price: Price) -> PriceLine:
    tiers = tuple(Tier(tier["up_to_ms"], Decimal(tier["per_minute"])) for tier in price.tiers)
    return PriceLine(price.id, price.label, price.model, price.kind, price.region, price.included_ms, tiers)


def create_version(
    plan: Plan,
    effective_from: datetime | None,
    currency: str,
    lines: Sequence[Mapping[str, Any]],
    minimum_ms: int = 0,
    actor: Actor = None,
) -> PlanVersion:
    """Prices of this plan from `effective_from` on (None: as soon as may be). A line is label, model, kind,
    region, included_ms and tiers, as in a file of `manage.py prices`. Staff and the system only."""
    permit(user_of(actor), plan.id, Permission.OWNERS_WRITE)
    if not isinstance(currency, str) or not re.fullmatch(r"[A-Z]{3}", currency):
        raise PricesMalformed("currency is three capital letters, such as USD.")
    if type(minimum_ms) is not int or not 0 <= minimum_ms <= 3_600_000:
        raise PricesMalformed("minimum_ms is a whole number from 0 to 3600000.")
    prices = checked_lines(lines)
    with staff_scope(), transaction.atomic():
        Plan.objects.select_for_update().get(id=plan.id)
        last = PlanVersion.objects.filter(plan=plan).order_by("-effective_from").first()
        now = timezone.now()
        start = effective_from
        if start is None:
            start = (
                now if last is None else max(now + NOTICE, last.effective_from + timedelta(microseconds=1))
            )
        elif start.tzinfo is None:
            raise PricesMalformed("effective_from has a time zone.")
        elif start < (now if last is None else now + NOTICE):
            raise PriceTooEarly()
        if last is not None and start <= last.effective_from:
            raise PriceOutOfTurn()
        if last is not None and currency != last.currency:
            raise PriceCurrency()
        number = last.number + 1 if last is not None else 1
        version = PlanVersion.objects.create(
            plan=plan, number=number, effective_from=start, currency=currency, minimum_ms=minimum_ms
        )
        Price.objects.bulk_create(Price(version=version, **line) for line in prices)
        on_it = Tenant.objects.filter(plan=plan).values_list("id", flat=True)
        record_for_all(
            actor, on_it.iterator(), "plan.priced", plan.id, number=number, effective_from=start.isoformat()
        )
    return version


def checked_lines(lines: object) -> list[dict[str, Any]]:
    """The lines as the columns keep them, or a refusal that names the line and what is wrong with it."""
    if not isinstance(lines, Sequence) or isinstance(lines, str) or not 1 <= len(lines) <= MAX_LINES:
        raise PricesMalformed(f"lines is a list of 1 to {MAX_LINES} prices.")
    found = [_checked_line(line, f"line {place}") for place, line in enumerate(lines, 1)]
    applies = [(line["model"], line["kind"], line["region"]) for line in found]
    for place, where in enumerate(applies):
        if where in applies[:place]:
            raise PricesMalformed(f"line {place + 1} is for the same model, kind and region as another.")
    return found


def _checked_line(line: object, where: str) -> dict[str, Any]:
    known = ("label", "model", "kind", "region", "included_ms", "tiers")
    if not isinstance(line, Mapping):
        raise PricesMalformed(f"{where} is an object.")
    unknown = sorted(set(line) - set(known), key=str)
    if unknown:
        raise PricesMalformed(f"{where} has {unknown[0]!r}; it may have {', '.join(known)}.")
    found: dict[str, Any] = {}
    for name, most in (("label", 100), ("model", 128), ("kind", 8), ("region", 128)):
        value = line.get(name, "")
        if not isinstance(value, str) or len(value) > most or not value.isprintable():
            raise PricesMalformed(f"{where}: {name} is a text of at most {most} printable characters.")
        found[name] = value
    if not found["label"]:
        raise PricesMalformed(f"{where} has no label, which is what an invoice calls it.")
    if found["kind"] not in ("", *KINDS):
        raise PricesMalformed(f"{where}: kind is one of {', '.join(KINDS)}, or empty for all.")
    included = line.get("included_ms", 0)
    if type(included) is not int or not 0 <= included <= MAX_MS:
        raise PricesMalformed(f"{where}: included_ms is a whole number from 0.")
    return {**found, "included_ms": included, "tiers": _checked_tiers(line.get("tiers"), where)}


def _checked_tiers(tiers: object, where: str) -> list[dict[str, Any]]:
    if not isinstance(tiers, Sequence) or isinstance(tiers, str) or not 1 <= len(tiers) <= MAX_TIERS:
        raise PricesMalformed(f"{where}: tiers is a list of 1 to {MAX_TIERS}.")
    found: list[dict[str, Any]] = []
    before = 0
    for place, tier in enumerate(tiers, 1):
        if not isinstance(tier, Mapping) or set(tier) != {"up_to_ms", "per_minute"}:
            raise PricesMalformed(f"{where}: a tier is up_to_ms and per_minute, nothing else.")
        up_to = tier["up_to_ms"]
        if place == len(tiers):
            if up_to is not None:
                raise PricesMalformed(f"{where}: the last tier is open: its up_to_ms is null.")
        elif type(up_to) is not int or not before < up_to <= MAX_MS:
            raise PricesMalformed(f"{where}: up_to_ms is a whole number above that of the tier before.")
        else:
            before = up_to
        found.append({"up_to_ms": up_to, "per_minute": checked_price(tier["per_minute"], where)})
    return found


def checked_price(value: object, where: str) -> str:
    """A price per minute: a text, so that no float has ever touched it."""
    if not isinstance(value, str) or not re.fullmatch(
        rf"[0-9]{{1,7}}(\.[0-9]{{1,{PRICE_DECIMALS}}})?", value
    ):
        raise PricesMalformed(
            f'{where}: per_minute is a text such as "0.0059", with {PRICE_DECIMALS} decimals at most.'
        )
    if Decimal(value) > MAX_PER_MINUTE:
        raise PricesMalformed(f"{where}: per_minute is at most {MAX_PER_MINUTE}.")
    return value


def versions(plan: Plan) -> Iterable[PlanVersion]:
    """Of a plan, the newest first, with their prices."""
    return PlanVersion.objects.filter(plan=plan).prefetch_related("prices").order_by("-number")
