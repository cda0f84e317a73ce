"""What is done about what was found: usage is replayed, double counts are credited, the rest is kept.

All of it may be done again: an event is stored once, a credit has a reference, a difference is one row.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from metering import services
from metering.events import INFERENCE_LOG, UsageEvent
from metering.ledger.append import NewEntry, append
from metering.ledger.post import post_due
from metering.models import Difference, Reconciliation
from metering.models.ledger import EntryKind
from metering.models.reconciliation import Action, DifferenceKind
from metering.reconcile.compare import CREDITED, REPLAYED, Finding
from metering.reconcile.errors import NotOpen
from tenants.scope import staff_scope
from tenants.services.audit import record

# How the detail begins of what a person has closed.
BY_HAND = "closed by hand: "

log = logging.getLogger(__name__)

POST_AT_ONCE = 5000
RECORD_AT_ONCE = 2000
APPEND_AT_ONCE = 200


@dataclass(frozen=True)
class Found:
    """A difference of any kind, and what was done."""

    tenant: UUID
    kind: DifferenceKind
    action: Action
    stream: str = ""
    from_ms: int | None = None
    to_ms: int | None = None
    ms: int = 0
    meter: str = ""
    value: int = 0
    detail: str = ""
    unasked: bool = False  # the provider did not say, so what was open of this meter stays open

    @property
    def same(self) -> tuple[object, ...]:
        """Two of the same are one difference, found again."""
        return (self.tenant, self.kind.value, self.stream, self.from_ms, self.to_ms, self.meter)

    @property
    def mended(self) -> bool:
        return self.action in (Action.REPLAYED, Action.CREDITED, Action.SENT)


def allowed(finding: Finding, *, conservative: bool, dry_run: bool) -> Action:
    """What is done about it. Pure."""
    if finding.action in (REPLAYED, CREDITED) and dry_run:
        return Action.NONE
    if finding.action == REPLAYED and conservative:
        return Action.NONE
    return Action(finding.action)


def replay(findings: Sequence[Finding]) -> None:
    """What the inference log has and the ledger has not becomes usage like any other."""
    for at in range(0, len(findings), RECORD_AT_ONCE):
        services.record([_event(one) for one in findings[at : at + RECORD_AT_ONCE]])


def credit(tenant: UUID, findings: Sequence[Finding]) -> None:
    for at in range(0, len(findings), APPEND_AT_ONCE):
        append(tenant, [_correction(one) for one in findings[at : at + APPEND_AT_ONCE]])


def post(tenant: UUID) -> None:
    """What waits by now. Of a busy tenant more comes all the time: that is for whoever posts next."""
    while post_due(tenant, POST_AT_ONCE) >= POST_AT_ONCE:
        pass


def mend(findings: Sequence[Finding], conservative: set[UUID], dry_run: bool) -> dict[Finding, Action]:
    """Do what may be done. Says of each what that was."""
    done = {one: allowed(one, conservative=one.tenant in conservative, dry_run=dry_run) for one in findings}
    todo: dict[UUID, dict[Action, list[Finding]]] = defaultdict(lambda: defaultdict(list))
    for one, action in done.items():
        if action in (Action.REPLAYED, Action.CREDITED):
            todo[one.tenant][action].append(one)
    for tenant, its in sorted(todo.items()):
        try:
            replay(its[Action.REPLAYED])
            credit(tenant, its[Action.CREDITED])
            post(tenant)
        except Exception:
            # One tenant's trouble holds up no other; what still differs is raised.
            log.exception("reconcile: the ledger of tenant %s", tenant)
    return done


def as_found(finding: Finding, action: Action) -> Found:
    detail = finding.detail
    if action is Action.NONE and not detail:
        detail = f"would be {finding.action}"
    return Found(
        finding.tenant,
        DifferenceKind(finding.kind),
        action,
        finding.stream,
        finding.from_ms,
        finding.to_ms,
        finding.ms,
        detail=detail,
    )


def joined(found: Sequence[Found]) -> list[Found]:
    """Neighbours with the same story are one: a log comes in pieces of seconds, a stream lasts for hours."""
    whole: list[Found] = []
    for one in found:
        last = whole[-1] if whole else None
        if (
            last
            and last.to_ms is not None
            and replace(one, from_ms=0, to_ms=0, ms=0) == replace(last, from_ms=0, to_ms=0, ms=0)
            and one.from_ms == last.to_ms
        ):
            whole[-1] = replace(last, to_ms=one.to_ms, ms=last.ms + one.ms)
        else:
            whole.append(one)
    return whole


def still_there(found: Found) -> Found:
    return replace(found, action=Action.RAISED, detail=f"was {found.action.value}, and still differs")


def keep(
    run: Reconciliation, found: Sequence[Found], now: datetime, whose: Sequence[UUID] | None
) -> list[Found]:
    """Write the differences down, and close those of the day that are gone. A dry run closes nothing. What
    is left is handed back: neither mended, nor closed before by somebody who had looked."""
    with staff_scope():
        of_day = Q(day=run.day) if whose is None else Q(day=run.day, tenant_id__in=list(whose))
        settled = {
            (*_same(row), row.ms, row.value)
            for row in Difference.objects.filter(of_day, open=False, detail__startswith=BY_HAND)
        }
        found = [one for one in found if one.mended or (*one.same, one.ms, one.value) not in settled]
        if run.dry_run:
            Difference.objects.bulk_create(_row(run, one, now, open_=False) for one in found)
            return [one for one in found if not one.mended]
        known = {_same(row): row for row in Difference.objects.filter(of_day, open=True)}
        fresh = []
        for one in found:
            row = known.pop(one.same, None)
            if row is None:
                fresh.append(_row(run, one, now, open_=not one.mended))
                continue
            row.run, row.action, row.detail, row.ms, row.value = (
                run, one.action.value, one.detail[:300], one.ms, one.value,
            )  # fmt: skip
            if one.mended:
                row.open, row.closed_at = False, now
            row.save()
        Difference.objects.bulk_create(fresh, batch_size=1000)
        unasked = {(one.tenant, one.meter, "") for one in found if one.unasked}
        gone = [row.pk for row in known.values() if (row.tenant_id, row.meter, row.stream) not in unasked]
        Difference.objects.filter(pk__in=gone).update(open=False, closed_at=now)
    return [one for one in found if not one.mended]


def close(number: int, because: str, now: datetime) -> Difference:
    """Somebody has looked. The same difference is not raised again, one of another size is."""
    with staff_scope():
        row = Difference.objects.select_for_update().filter(pk=number, open=True).first()
        if row is None:
            raise NotOpen(number)
        row.open, row.closed_at = False, now
        row.detail = f"{BY_HAND}{because} ({row.detail})"[:300]
        row.save(update_fields=["open", "closed_at", "detail"])
        record(None, row.tenant_id, "difference.closed", row.tenant_id, difference=number, because=because)
    return row


def _row(run: Reconciliation, one: Found, now: datetime, *, open_: bool) -> Difference:
    return Difference(
        tenant_id=one.tenant, run=run, day=run.day, kind=one.kind.value, action=one.action.value,
        stream=one.stream, from_ms=one.from_ms, to_ms=one.to_ms, ms=one.ms, meter=one.meter,
        value=one.value, detail=one.detail[:300], open=open_, found_at=now,
        closed_at=None if open_ else now,
    )  # fmt: skip


def _same(row: Difference) -> tuple[object, ...]:
    return (row.tenant_id, row.kind, row.stream, row.from_ms, row.to_ms, row.meter)


def _event(finding: Finding) -> UsageEvent:
    record = finding.record
    if record is None:
        raise ValueError(f"{finding.stream}: there is nothing to replay it from")
    return UsageEvent(
        tenant=str(finding.tenant), project=str(record.project), key=str(record.key),
        stream=finding.stream, from_ms=finding.from_ms, to_ms=finding.to_ms, model=record.model,
        region=record.region, worker=record.worker, tags=record.tags, kind=record.kind,
        processed_at=record.processed_at.isoformat(), source=INFERENCE_LOG,
    )  # fmt: skip


def _correction(finding: Finding) -> NewEntry:
    return NewEntry(
        EntryKind.CORRECTION, "counted, and not in the record of the worker", finding.reference,
        ms=-finding.ms, stream=finding.stream, from_ms=finding.from_ms, to_ms=finding.to_ms,
    )  # fmt: skip
