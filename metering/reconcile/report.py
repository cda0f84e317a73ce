"""What a reconciliation found, for a person and for a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from metering.models import Difference, Reconciliation
from metering.models.reconciliation import Action, DifferenceKind

MEANS = {
    DifferenceKind.LOST.value: "processed, and not in the ledger",
    DifferenceKind.DOUBLE.value: "in the ledger, and not processed",
    DifferenceKind.WRONG_TENANT.value: "recorded under more than one tenant",
    DifferenceKind.UNSENT.value: "the payment provider has less than the ledger",
    DifferenceKind.AHEAD.value: "the payment provider has more than the ledger",
    DifferenceKind.INVOICE.value: "an invoice does not say what the ledger says",
}
# So many lines of a kind are for reading; the rest is counted, and is all in the JSON.
LINES = 20


def text(run: Reconciliation, found: Sequence[Difference]) -> str:
    return "\n".join(_lines(run, found)) + "\n"


def document(run: Reconciliation, found: Sequence[Difference]) -> dict[str, Any]:
    return {
        "day": run.day.isoformat(),
        "tenant": str(run.only) if run.only else None,
        "dry_run": run.dry_run,
        "started_at": _at(run.started_at),
        "finished_at": _at(run.finished_at),
        "tenants": run.tenants,
        **run.summary,
        "list": [
            {
                "id": one.pk, "tenant": one.tenant.slug, "kind": one.kind, "action": one.action,
                "stream": one.stream, "from_ms": one.from_ms, "to_ms": one.to_ms, "ms": one.ms,
                "meter": one.meter, "value": one.value, "detail": one.detail, "open": one.open,
            }
            for one in found
        ],
    }  # fmt: skip


def _lines(run: Reconciliation, found: Sequence[Difference]) -> Iterator[str]:
    yield f"Reconciliation of {run.day} (UTC), {run.tenants} tenant{'' if run.tenants == 1 else 's'}" + (
        ", a dry run: nothing was changed" if run.dry_run else ""
    )
    if not run.summary.get("logs"):
        yield "No worker has shipped its inference log of these days: usage was compared with nothing."
        yield "Set INFERENCE_LOG_DIR on every worker; see docs/reconciliation.md."
    elif not found and run.summary.get("differences"):
        yield "Nothing differs but what somebody has closed by hand."
    elif not found:
        yield "Nothing differs: ledger, inference log, payment provider and invoices agree."
    if not found:
        return
    for kind, means in MEANS.items():
        its = [one for one in found if one.kind == kind]
        if not its:
            continue
        total = f", {sum(one.ms for one in its)} ms" if any(one.ms for one in its) else ""
        yield ""
        yield f"{kind}: {means} ({len(its)}{total})"
        yield from (f"  {line(one)}" for one in its[:LINES])
        if len(its) > LINES:
            yield f"  and {len(its) - LINES} more; --json names them all"
    left = sum(one.action not in (Action.REPLAYED, Action.CREDITED, Action.SENT) for one in found)
    yield ""
    yield "All of it was mended." if not left else f"{left} left for a later run or a person."


def line(one: Difference) -> str:
    where = one.stream
    if one.from_ms is not None:
        where += f" [{one.from_ms}, {one.to_ms}) ms"
    if one.meter:
        where = f"{where} meter {one.meter}: {one.value}".strip()
    number = f" (#{one.pk})" if one.open and one.pk else ""
    return f"{one.tenant.slug}  {where}  {one.action}{number}" + (f": {one.detail}" if one.detail else "")


def _at(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
