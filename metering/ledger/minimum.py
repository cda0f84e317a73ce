"""The minimum charge of a stream, where the version of its plan has one (none has, unless it says so).

A stream is looked at once it has ended and all the audio that its entry in the request log tells of is in the
ledger, all its channels together. What it is short of the minimum is charged as an adjustment, at the price
of the milliseconds that would come next; the counter does not move, because there was no such audio. A stream
of which nothing was processed is charged nothing, also if that turns out later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from django.db.models import Sum

from metering.ledger import rows
from metering.ledger.book import Book
from metering.ledger.chain import Line
from metering.models import LedgerEntry, Request, Unsettled
from metering.models.ledger import EntryKind
from metering.rating import millionths

AT_ONCE = 500
# Usage that is not all there by then is left to reconciliation, and no minimum is charged: too little rather
# than too much.
GIVE_UP_AFTER = timedelta(days=3)
SOONEST, LATEST = timedelta(seconds=1), timedelta(hours=1)


def settle(book: Book) -> int:
    """Look at streams that have ended. Returns how many need no more looks."""
    tenant_id = book.account.tenant_id
    due = list(
        Unsettled.objects.filter(tenant_id=tenant_id, next_at__lte=book.now)
        .order_by("next_at")
        .values_list("request", flat=True)[:AT_ONCE]
    )
    if not due:
        return 0
    requests = list(Request.objects.filter(tenant_id=tenant_id, id__in=due).order_by("id"))
    least = {request.id: _minimum_of(book, request) for request in requests}
    posted = _posted(book, [request.request_id for request in requests if least[request.id]])
    done: set[int] = set(due) - {request.id for request in requests}
    for request in requests:
        there = posted.get(request.request_id, 0)
        if not least[request.id] or book.now - request.recorded_at > GIVE_UP_AFTER:
            done.add(request.id)
        elif there >= request.billed_ms:
            done.add(request.id)
            _charge(book, request, least[request.id] - there)
        else:
            pause = min(max(book.now - request.recorded_at, SOONEST), LATEST)
            Unsettled.objects.filter(request=request.id).update(next_at=book.now + pause)
    Unsettled.objects.filter(tenant_id=tenant_id, request__in=done).delete()
    return len(done)


def _minimum_of(book: Book, request: Request) -> int:
    version = book.version_at(request.ended_at)
    return version.minimum_ms if version is not None and request.billed_ms > 0 else 0


def give_back(book: Book) -> None:
    """Of streams of which corrections have left nothing, the minimum charge goes too."""
    corrected = {line.request_id for line in book.lines if line.kind == EntryKind.CORRECTION.value}
    gone = [request_id for request_id, left in _posted(book, corrected).items() if left == 0]
    named = [f"minimum:{request_id}" for request_id in gone]
    of_these = "tenant_id = %s AND reference = ANY(%s) AND price_id IS NOT NULL"
    for charge in rows.select(of_these, [book.account.tenant_id, named]):
        _return(book, charge)


def _return(book: Book, charge: Line) -> None:
    reference = f"returned-{charge.reference}"
    if LedgerEntry.objects.filter(tenant_id=charge.tenant_id, reference=reference).exists():
        return
    line = replace(
        charge, at=book.now, reason="Minimum charge given back: no audio is left of it", reference=reference
    )
    full = -millionths(charge.amount + charge.waived)
    if book.is_over(charge.period):
        # What was waived stays with the period that is over, and is none of what is given back.
        waived = min(-full, max(0, book.total(charge.period).waived))
        line.period, line.price_id = book.current.first_day, None
        book.charge(line, full + waived)
    else:
        book.give_back(line, full)


def _posted(book: Book, request_ids: Iterable[str]) -> dict[str, int]:
    """What of each is in the ledger, with what is being put in now."""
    wanted = set(request_ids)
    if not wanted:
        return {}
    counted = (
        LedgerEntry.objects.filter(tenant_id=book.account.tenant_id, request_id__in=wanted)
        .values_list("request_id")
        .annotate(total=Sum("ms"))
        .order_by()
    )
    found = {request_id: int(total) for request_id, total in counted}
    for line in book.lines:
        found[line.request_id] = found.get(line.request_id, 0) + line.ms
    return found


def _charge(book: Book, request: Request, missing_ms: int) -> None:
    reference = f"minimum:{request.request_id}"
    account = book.account
    price = book.price_at(request.ended_at, request.model, request.kind, request.region)
    if (
        missing_ms <= 0
        or price is None
        or LedgerEntry.objects.filter(tenant_id=account.tenant_id, reference=reference).exists()
    ):
        return
    period = book.period_for(request.ended_at).first_day
    full = book.rate(price, period, missing_ms)
    if not full:
        return
    line = Line(
        tenant_id=account.tenant_id, seq=0, kind=EntryKind.ADJUSTMENT.value, at=book.now, period=period,
        processed_at=request.ended_at, project_id=request.project_id, key_id=request.key_id, stream="",
        request_id=request.request_id, from_ms=None, to_ms=None, ms=0, usage_kind=request.kind,
        model=request.model, region=request.region, tags=tuple(request.tags), price_id=price.id,
        currency=account.currency, rated_in=None, amount=Decimal(0), waived=Decimal(0),
        reason=f"Minimum charge: {missing_ms} ms short", reference=reference,
    )  # fmt: skip
    book.charge(line, full)
