"""What an account's settings take. Each check gives the value as the column keeps it, or refuses by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import DataError, connection, transaction

from metering import periods
from metering.ledger.errors import SettingMalformed, TimeZoneNotNow, TimeZoneUnknown
from metering.models.accounts import Mode, Standing
from metering.rating import ZERO

MAX_MONEY = Decimal(10) ** 13  # what the column holds, with room for sums


def cap(value: object) -> Decimal | None:
    if value is None:
        return None
    if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
        raise SettingMalformed("A cap is an amount of money from 0, or nothing: no cap.")
    if value > MAX_MONEY or value != value.quantize(ZERO):
        raise SettingMalformed("A cap has six decimals at most, and 13 digits before the point.")
    return value.quantize(ZERO)


def time_zone(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 64:
        raise TimeZoneUnknown()
    try:
        ZoneInfo(value)
        # Queries reckon in it too, and one name that PostgreSQL lacks would fail them for everybody.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT now() AT TIME ZONE %s", [value])
    except (DataError, KeyError, ValueError, OSError) as error:
        raise TimeZoneUnknown() from error
    return value


def check_time_zone_now(before: str, after: str, now: datetime) -> None:
    """Both must agree on which month it is, and on the month before being over for good: else an entry could
    be charged in a month that is invoiced, or a cap begin anew."""
    old, new = (periods.period_of(now, name) for name in (before, after))
    settled = max(old.starts_at, new.starts_at) + periods.FREEZE_AFTER
    if old.first_day != new.first_day or not settled <= now < min(old.ends_at, new.ends_at) - timedelta(
        days=1
    ):
        raise TimeZoneNotNow()


def currency(value: object) -> str:
    if not isinstance(value, str) or len(value) != 3 or not value.isascii() or not value.isupper():
        raise SettingMalformed("A currency is three capital letters, such as USD.")
    return value


def email(value: object) -> str:
    if not isinstance(value, str):
        raise SettingMalformed("This is no e-mail address.")
    if value:
        try:
            validate_email(value)
        except ValidationError as error:
            raise SettingMalformed("This is no e-mail address.") from error
    return value


def grace_until(value: object) -> datetime | None:
    if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
        raise SettingMalformed("grace_until is a time with a zone, or nothing.")
    return value


def flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise SettingMalformed("This is true or false.")
    return value


def _text(most: int, *, lines: bool = False) -> Callable[[object], str]:
    def check(value: object) -> str:
        plain = value.replace("\r\n", "\n") if isinstance(value, str) else ""
        bare = plain.replace("\n", "") if lines else plain
        if not isinstance(value, str) or len(plain) > most or not bare.isprintable():
            raise SettingMalformed(f"This is a text of at most {most} printable characters.")
        return plain.strip()

    return check


def _one_of(*values: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value not in values:
            raise SettingMalformed(f"This is one of {', '.join(values)}.")
        return str(value)

    return check


# A customer's own, as far as their role or key goes.
THEIRS: dict[str, Callable[[object], Any]] = {
    "hard_cap": cap,
    "soft_cap": cap,
    "time_zone": time_zone,
    "legal_name": _text(200),
    "address": _text(1000, lines=True),
    "tax_id": _text(64),
    "email": email,
}
OURS: dict[str, Callable[[object], Any]] = {
    "mode": _one_of(*(mode.value for mode in Mode)),
    "currency": currency,
    "standing": _one_of(*(standing.value for standing in Standing)),
    "grace_until": grace_until,
    "conservative": flag,
    "customer": _text(255),
}
