"""Which streams need a receipt, or another one: those that have ended without, and those of which the ledger
says something new. Every step may run twice, at once, and after a crash in the middle."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.db.models import Exists, OuterRef
from django.utils import timezone

from metering.models import Account, LedgerEntry, ReceiptDue, ReceiptHead, Request
from metering.receipts import keys, statements
from metering.receipts.body import Statement
from metering.receipts.expected import SOON
from metering.receipts.issue import revise
from tenants.scope import staff_scope, tenant_scope

log = logging.getLogger(__name__)

AGAIN = timedelta(seconds=20)
# So long after its last audio a stream of which nobody told the end has lost its gateway; and so long after
# its end no more usage is waited for: what comes later makes another revision.
ABANDONED = timedelta(minutes=10)
MAX_ENTRIES, MAX_TENANTS, MAX_DUE = 5000, 1000, 500


def look_through_ledger() -> int:
    """Note the streams of new ledger entries. How many entries were looked at: none, and this is the end."""
    if not keys.signers():
        return 0
    with staff_scope():
        seen = ReceiptHead.objects.filter(
            tenant_id=OuterRef("tenant_id"), ledger_seq__gte=OuterRef("last_seq")
        )
        behind = Account.objects.filter(~Exists(seen), last_seq__gt=0).values_list("tenant_id", flat=True)
        tenants = list(behind[:MAX_TENANTS])
    return sum(_look_through(tenant_id) for tenant_id in tenants)


def _look_through(tenant_id: UUID) -> int:
    with tenant_scope(tenant_id):
        ReceiptHead.objects.get_or_create(tenant_id=tenant_id)
        head = ReceiptHead.objects.select_for_update().get(tenant_id=tenant_id)
        new = LedgerEntry.objects.filter(seq__gt=head.ledger_seq).order_by("seq")
        rows = list(new.values_list("seq", "request_id")[:MAX_ENTRIES])
        if rows:
            due_at = timezone.now() + SOON
            named = sorted({request_id for _, request_id in rows if request_id})
            # Where one is due already, its time stays: an open stream is looked at when it has ended.
            ReceiptDue.objects.bulk_create(
                [ReceiptDue(tenant_id=tenant_id, request_id=one, due_at=due_at) for one in named],
                ignore_conflicts=True,
            )
            head.ledger_seq = rows[-1][0]
            head.save(update_fields=["ledger_seq"])
        return len(rows)


def issue_due(now: datetime | None = None) -> int:
    """Issue what is due. How many streams were looked at."""
    if not keys.signers():
        return 0
    now = now or timezone.now()
    with staff_scope():
        rows = ReceiptDue.objects.filter(due_at__lte=now).order_by("due_at")
        due = list(rows.values_list("tenant_id", "request_id")[:MAX_DUE])
    for tenant_id, request_id in due:
        try:
            _settle(tenant_id, request_id, now)
        except (OperationalError, InterfaceError):
            raise  # it is away: the next turn finds all of them again
        except Exception as error:
            # One that cannot be had keeps no other from its customer.
            log.exception("receipt of stream %s: %s", request_id, type(error).__name__)
            with tenant_scope(tenant_id):
                ReceiptDue.objects.filter(request_id=request_id).update(due_at=now + ABANDONED)
    return len(due)


@dataclass(frozen=True)
class Known:
    """What there is about a stream when its receipt is due."""

    ended_at: datetime | None  # None: nobody has told
    billed_ms: int  # as the gateway told
    posted_ms: int  # in the ledger
    posted_at: datetime | None  # the last of it


def wait_until(known: Known, now: datetime) -> datetime | None:
    """When to look again; None: its receipt can be made now."""
    if known.ended_at is None:
        over = (known.posted_at or now) + ABANDONED
        return over if now < over else None
    if known.posted_ms < known.billed_ms and now < known.ended_at + ABANDONED:
        return now + AGAIN
    return None


def _settle(tenant_id: UUID, request_id: str, now: datetime) -> None:
    with tenant_scope(tenant_id):
        due = ReceiptDue.objects.select_for_update(skip_locked=True).filter(request_id=request_id).first()
        if due is None:
            return  # somebody else has it
        # Whoever looks through the ledger holds this too. So what is read next is all that has been noted,
        # and what is noted later makes it due again.
        ReceiptHead.objects.get_or_create(tenant_id=tenant_id)
        ReceiptHead.objects.select_for_update().get(tenant_id=tenant_id)
        entries = statements.entries_of(request_id)
        request = Request.objects.filter(request_id=request_id).first()
        if request is None and not entries:
            due.delete()
            return
        known = Known(
            ended_at=request.ended_at if request else None,
            billed_ms=request.billed_ms if request else 0,
            posted_ms=sum(entry.ms for entry in entries),
            posted_at=max((entry.at for entry in entries), default=None),
        )
        if (later := wait_until(known, now)) is not None:
            due.due_at = later
            due.save(update_fields=["due_at"])
            return
        revise(tenant_id, statements.of_entries(request_id, entries) if entries else _of_request(request))
        due.delete()


def _of_request(request: Request | None) -> Statement:
    """Of a stream of which nothing was processed."""
    assert request is not None  # noqa: S101
    return Statement(
        request_id=request.request_id,
        project=request.project_id,
        key=request.key_id,
        kind=request.kind,
        model=request.model,
        region=request.region,
        parts=(),
    )
