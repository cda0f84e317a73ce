"""One reconciliation from its beginning to its end."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from django.db import connection
from django.utils import timezone

from metering.models import Account, Difference, Reconciliation
from metering.models.reconciliation import Action
from metering.reconcile import apply, load, money
from metering.reconcile.apply import Found
from metering.reconcile.compare import Finding, Logs, compare, of_day, of_strangers
from metering.reconcile.errors import AlreadyRunning, DayNotBegun
from tenants.scope import staff_scope

# A worker's log that is not here so long after a day's end is not waited for: what it alone knows is not
# charged, and what only the ledger has is credited.
WAIT_FOR_LOGS = timedelta(hours=24)
LOCK = 0x7374656E_6F726563  # of our advisory locks, the one of reconciliation

log = logging.getLogger(__name__)

Say = Callable[[str], None]


def run(
    day: date,
    tenant_id: UUID | None = None,
    dry_run: bool = False,
    now: datetime | None = None,
    say: Say = lambda text: None,
) -> Reconciliation:
    """Compare a day of all tenants, or of one, and mend what may be. A second run finds nothing to do."""
    now = now or timezone.now()
    if day > now.astimezone(UTC).date():
        raise DayNotBegun(DayNotBegun.__doc__)
    end = load.bounds(day)[1]
    with _alone():
        whose = None if tenant_id is None else [tenant_id]
        everybody = load.tenants() if whose is None else whose
        this = _begin(day, tenant_id, dry_run, now, len(everybody))
        if not dry_run:
            _post(load.unposted(tenant_id), say)
        logs = load.logs(day, give_up=now >= end + WAIT_FOR_LOGS)
        # Where no worker keeps a log there is nothing to compare with, and nothing to credit.
        names = _differing(day, everybody, say) if logs.by_id else []
        found = _streams(day, names, logs, dry_run, say)
        found += _money(day, whose, now, dry_run, say)
        left = apply.keep(this, found, now, whose)
        return _finish(this, found, len(left), len(names), len(logs.by_id))


def _post(whose: Sequence[UUID], say: Say) -> None:
    for number, tenant in enumerate(whose, 1):
        try:
            apply.post(tenant)
        except Exception:
            # What could not be posted still waits, and is not taken for lost. The others go on.
            log.exception("reconcile: the ledger of tenant %s", tenant)
        if number % 100 == 0:
            say(f"posted what waited of {number} of {len(whose)} tenants")


def _differing(day: date, whose: Sequence[UUID], say: Say) -> list[load.Name]:
    found: list[load.Name] = []
    for number, batch in enumerate(load.batches(whose, load.TENANTS_AT_ONCE), 1):
        found += load.differing(day, batch)
        say(
            f"compared {min(number * load.TENANTS_AT_ONCE, len(whose))} of {len(whose)} tenants: "
            f"{len(found)} streams to look at"
        )
    return found


def _streams(day: date, names: Sequence[load.Name], logs: Logs, dry_run: bool, say: Say) -> list[Found]:
    strangers = load.strangers(day, names)
    conservative = _conservative()

    def look(batch: Iterable[load.Name]) -> list[Finding]:
        findings = [one for stream in load.streams(list(batch)) for one in compare(stream, logs)]
        return of_strangers(of_day(findings, load.bounds(day)[1]), strangers)

    found: list[Found] = []
    for number, batch in enumerate(load.batches(names, load.STREAMS_AT_ONCE), 1):
        done = apply.mend(look(batch), conservative, dry_run)
        mended = {(one.tenant, one.stream) for one, action in done.items() if _mends(action)}
        left = {_place(one) for one in look(sorted(mended))}
        told = []
        for finding, action in done.items():
            one = apply.as_found(finding, action)
            told.append(apply.still_there(one) if _mends(action) and _place(finding) in left else one)
        found += apply.joined(told)
        say(f"looked at {min(number * load.STREAMS_AT_ONCE, len(names))} of {len(names)} streams")
    return found


def _money(day: date, whose: list[UUID] | None, now: datetime, dry_run: bool, say: Say) -> list[Found]:
    found: list[Found] = []
    provider = money.Provider()
    for number, account in enumerate(money.accounts(day, whose), 1):
        found += money.compare(account, day, now, dry_run=dry_run, provider=provider)
        if number % 100 == 0:
            say(f"compared the money of {number} accounts")
    return found


def _begin(day: date, only: UUID | None, dry_run: bool, now: datetime, tenants: int) -> Reconciliation:
    with staff_scope():
        return Reconciliation.objects.create(
            day=day, only=only, dry_run=dry_run, started_at=now, tenants=tenants
        )


def _finish(
    this: Reconciliation, found: Sequence[Found], left: int, looked_at: int, logs: int
) -> Reconciliation:
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for one in found:
        its = counts[one.kind.value]
        its[one.action.value] = its.get(one.action.value, 0) + 1
        its["ms"] = its.get("ms", 0) + one.ms
    this.summary = {
        "logs": logs,
        "streams": looked_at,
        "differences": len(found),
        "left": left,
        "kinds": counts,
    }
    this.finished_at = timezone.now()
    with staff_scope():
        this.save()
    return this


def differences(this: Reconciliation) -> list[Difference]:
    with staff_scope():
        return list(
            this.differences.select_related("tenant").order_by("tenant__slug", "kind", "stream", "from_ms")
        )


def _conservative() -> set[UUID]:
    with staff_scope():
        return set(Account.objects.filter(conservative=True).values_list("tenant_id", flat=True))


@contextmanager
def _alone() -> Iterator[None]:
    """A lock of the session: runs are longer than transactions, and a connection that dies lets go of it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            raise AlreadyRunning(AlreadyRunning.__doc__)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def _mends(action: Action) -> bool:
    return action in (Action.REPLAYED, Action.CREDITED)


def _place(one: Finding) -> tuple[object, ...]:
    return (one.kind, one.tenant, one.stream, one.from_ms, one.to_ms)
