"""A tenant's ledger while its lock is held: what is put in is rated, held to the caps and chained, and
`close` writes it all at once. Nothing here is seen by anybody before the transaction ends."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.db import connection

from metering import periods
from metering.ledger import rows
from metering.ledger.accounts import money_has_moved
from metering.ledger.chain import Line, seal
from metering.models import Account
from metering.models.accounts import Mode
from metering.models.ledger import EntryKind
from metering.periods import Period
from metering.plans import History, history_of
from metering.rating import PriceLine, Version, choose, cost_in_millionths, millionths, money

log = logging.getLogger(__name__)

NO_PRICE = UUID(int=0)


@dataclass(slots=True)
class Count:
    """Of a price line in a period. Money in millionths."""

    ms: int = 0
    charged: int = 0
    waived: int = 0


class Book:
    """Opened with the account locked, in the tenant's scope."""

    def __init__(self, account: Account, now: datetime) -> None:
        self.account = account
        self.now = now
        self.lines: list[Line] = []
        self.history: History = history_of(account.tenant_id)
        self._counts: dict[tuple[date, UUID], Count] = {}
        self._touched: set[tuple[date, UUID]] = set()
        self._totals: dict[date, Count] = {}
        self._balance = millionths(account.balance)
        self._foreign: set[UUID] = set()
        self._invoiced = _last_invoiced(account.tenant_id)
        self.current = self._open_from(periods.period_of(now, account.time_zone))

    def period_for(self, processed_at: datetime) -> Period:
        """In which what was processed then is charged: its own, or today's where its own is closed."""
        period = periods.period_of(processed_at, self.account.time_zone)
        return self.current if self.is_over(period.first_day) else period

    def is_over(self, first_day: date) -> bool:
        """Whether nothing more is charged in this period."""
        period = periods.of_month(first_day, self.account.time_zone)
        return periods.frozen(period, self.now) or self.is_closed(first_day)

    def is_closed(self, first_day: date) -> bool:
        return self._invoiced is not None and first_day <= self._invoiced

    def price_at(self, instant: datetime, model: str, kind: str, region: str) -> PriceLine | None:
        return choose(self.version_at(instant), model, kind, region)

    def version_at(self, instant: datetime) -> Version | None:
        """In force then for this tenant, if it is in the account's currency."""
        version = self.history.at(instant)
        if version is None or version.currency == self.account.currency or self._take_currency(version):
            return version
        if version.id not in self._foreign:
            self._foreign.add(version.id)
            log.error(
                "tenant %s has an account in %s and a plan in %s: usage costs nothing until staff mend it",
                self.account.tenant_id, self.account.currency, version.currency,
            )  # fmt: skip
        return None

    def charge(self, line: Line, full: int) -> None:
        """Put `line` in at `full` millionths, of which no more is charged than the caps leave room for. It
        is rated already: its counter's milliseconds move here."""
        total = self.total(line.period)
        amount = full
        if full > 0 and line.kind != EntryKind.CREDIT:
            if self.account.hard_cap is not None:
                amount = min(amount, millionths(self.account.hard_cap) - total.charged)
            if self.account.mode == Mode.PREPAID:
                amount = min(amount, self._balance)
            amount = max(amount, 0)
        self._put(line, amount, full - amount)

    def give_back(self, line: Line, full: int) -> None:
        """Put the correction `line` in: `full` millionths, below 0, of the period it was rated in. What was
        waived there comes first: with less audio there would have been room for it under the cap."""
        unwaived = min(-full, max(0, self.total(line.rated_in or line.period).waived))
        self._put(line, full + unwaived, -unwaived)

    def rate(self, price: PriceLine | None, period: date, ms: int) -> int:
        """What `ms` more (or less) cost there, in millionths."""
        if price is None:
            return 0
        before = self.count(period, price.id).ms
        return cost_in_millionths(price, before + ms) - cost_in_millionths(price, before)

    def count(self, period: date, price_id: UUID) -> Count:
        self.total(period)
        return self._counts.setdefault((period, price_id), Count())

    def total(self, period: date) -> Count:
        """Of all price lines of a period together."""
        if period not in self._totals:
            self.load([period])
        return self._totals[period]

    def load(self, wanted: Iterable[date]) -> None:
        missing = sorted(set(wanted) - self._totals.keys())
        for period in missing:
            self._totals[period] = Count()
        if not missing:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT period, price_id, ms, charged, waived FROM metering_counter "
                "WHERE tenant_id = %s AND period = ANY(%s)",
                [self.account.tenant_id, missing],
            )
            for period, price_id, ms, charged, waived in cursor.fetchall():
                count = Count(ms, millionths(charged), millionths(waived))
                self._counts[period, price_id] = count
                total = self._totals[period]
                total.ms += count.ms
                total.charged += count.charged
                total.waived += count.waived

    def close(self) -> None:
        """Write what was put in, and move the account's head."""
        account = self.account
        if self.lines:
            seq, previous = account.last_seq, bytes(account.last_hash)
            for seq, line in enumerate(self.lines, account.last_seq + 1):
                line.seq = seq
                seal(line, previous)
                previous = line.hash
            rows.insert(self.lines)
            account.last_seq, account.last_hash = seq, previous
            account.balance = money(self._balance)
        if self._touched:
            rows.keep_counters(
                account.tenant_id,
                [
                    (period, price, count.ms, money(count.charged), money(count.waived))
                    for period, price in sorted(self._touched)
                    for count in (self._counts[period, price],)
                ],
            )
        account.period = self.current.first_day
        account.charged = money(self.total(self.current.first_day).charged)
        account.save(update_fields=["last_seq", "last_hash", "balance", "period", "charged", "currency"])

    def _put(self, line: Line, amount: int, waived: int) -> None:
        line.amount, line.waived = money(amount), money(waived)
        price_id = line.price_id or NO_PRICE
        if line.rated_in is not None:
            self._count(line.rated_in, price_id, ms=line.ms, waived=waived)
        else:
            self._count(line.period, price_id, waived=waived)
        if line.kind != EntryKind.CREDIT:
            self._count(line.period, price_id, charged=amount)
        self._balance -= amount
        self.lines.append(line)

    def _count(self, period: date, price_id: UUID, *, ms: int = 0, charged: int = 0, waived: int = 0) -> None:
        for count in (self.count(period, price_id), self.total(period)):
            count.ms += ms
            count.charged += charged
            count.waived += waived
        self._touched.add((period, price_id))

    def _open_from(self, period: Period) -> Period:
        while self.is_closed(period.first_day):
            period = periods.next(period)
        return period

    def _take_currency(self, version: Version) -> bool:
        """An account in which no money has moved yet takes the currency of the first prices it meets."""
        if any(line.amount or line.waived for line in self.lines) or money_has_moved(self.account):
            return False
        self.account.currency = version.currency
        for line in self.lines:
            line.currency = version.currency
        return True


def _last_invoiced(tenant_id: UUID) -> date | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(period) FROM metering_invoice WHERE tenant_id = %s AND kind = 'invoice'", [tenant_id]
        )
        found: date | None = cursor.fetchone()[0]
    return found
