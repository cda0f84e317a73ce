"""What the clerk can do. Inside Django, in the environment of the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Sum
from django.utils import timezone

from metering import invoices, outbox, plans, reconcile
from metering.intervals import size
from metering.invoices.money import coins
from metering.ledger.accounts import account_of
from metering.models import InferenceLog, InferenceRecord, LedgerEntry, MeterIntent, Unposted, UsageEvent
from metering.models.outbox import METERS, IntentState
from metering.payments import client, deliver, names, summaries, sync
from metering.payments.tasks import deliver_due
from metering.periods import period_of
from metering.reconcile import load, report
from metering.reconcile.compare import counted
from metering.reconcile.run import differences
from tenants import services
from tenants.scope import staff_scope

# Primes, so that amounts do not come out even, and two tiers.
TIERS = [{"up_to_ms": 100_003, "per_minute": "7.7077"}, {"up_to_ms": None, "per_minute": "4.1041"}]
LINES = [
    {"label": "Audio", "model": "", "kind": "", "region": "", "included_ms": 1_009, "tiers": TIERS},
    {"label": "Recorded", "model": "", "kind": "recorded", "region": "", "included_ms": 0,
     "tiers": [{"up_to_ms": None, "per_minute": "2.9029"}]},
]  # fmt: skip


def hire(slugs: list[str]) -> dict[str, dict[str, str]]:
    """Tenants with a key, a price and a customer at the provider."""
    made = {}
    with staff_scope():
        plan = services.create_plan("Crash", "crash")
    plans.create_version(plan, None, "USD", LINES)
    for slug in slugs:
        tenant = services.create_tenant(slug.title(), slug)
        services.set_plan(tenant, plan)
        key = services.issue_key(services.create_project(tenant, "Calls"), name="crash")[1]
        account = sync.Sync().tenant(tenant)
        made[slug] = {"id": str(tenant.id), "key": key, "customer": account.customer}
    return made


def ms_event() -> str:
    return names.MS_EVENT


def hand_over() -> int:
    """Write down what the provider is to hear, and have Celery tell it, as beat does every ten seconds."""
    made = outbox.fill(force=True)
    if made:
        deliver_due.apply_async(expires=10)
    return made


def send(ahead_s: int = 0, answer_s: float | None = None) -> dict[str, int]:
    """Tell the provider all that the ledger has. `ahead_s`: as if it were so much later, for what waits to
    be tried again. `answer_s`: how long to wait for its answer."""
    made = outbox.fill(force=True)
    now = timezone.now() + timedelta(seconds=ahead_s) if ahead_s else None
    with _patience(answer_s):
        delivered = deliver.deliver_due(now=now)
    with staff_scope():
        left = MeterIntent.objects.exclude(state__in=(IntentState.DELIVERED.value, IntentState.DROPPED.value))
        return {
            "made": made, "delivered": delivered, "left": left.count(),
            "tried": left.filter(attempts__gt=0).count(),
        }  # fmt: skip


@contextmanager
def _patience(answer_s: float | None) -> Iterator[None]:
    usual = client.ANSWER_S
    client.ANSWER_S = answer_s or usual
    client._client.cache_clear()
    try:
        yield
    finally:
        client.ANSWER_S = usual
        client._client.cache_clear()


def open_logs() -> int:
    """Files of workers that are not known to have ended."""
    with staff_scope():
        return InferenceLog.objects.filter(closed=False).count()


def intents() -> list[str]:
    """Those that are on their way, and their trouble."""
    with staff_scope():
        left = MeterIntent.objects.exclude(state__in=(IntentState.DELIVERED.value, IntentState.DROPPED.value))
        return [f"{one.identifier} {one.state} {one.attempts} {one.error}" for one in left]


def mend(first: str) -> dict[str, Any]:
    """Reconcile the days since then."""
    day, said, left, found, mended = date.fromisoformat(first), [], 0, 0, 0
    while day <= timezone.now().date():
        run = reconcile.run(day)
        left += run.summary["left"]
        found += run.summary["differences"]
        if run.summary["differences"]:
            said.append(report.text(run, differences(run)))
        day += timedelta(days=1)
    mended = found - left
    return {"left": left, "mended": mended, "report": "\n".join(said)}


def books(tenant: str) -> dict[str, Any]:
    """Of one tenant what every record says."""
    tenant_id = UUID(tenant)
    now = timezone.now()
    with staff_scope():
        entries = LedgerEntry.objects.filter(tenant_id=tenant_id)
        sums = entries.aggregate(ms=Sum("ms"), amount=Sum("amount"), waived=Sum("waived"))
        known = set(InferenceRecord.objects.filter(tenant_id=tenant_id).values_list("stream", flat=True))
        known |= set(UsageEvent.objects.filter(tenant_id=tenant_id).values_list("stream", flat=True))
        unposted = Unposted.objects.filter(tenant_id=tenant_id).count()
    streams = load.streams([(tenant_id, name) for name in sorted(known)])
    logged = {one.name: size(counted(one.records)) for one in streams}
    charged = {one.name: sum(entry.ms for entry in one.entries) for one in streams}
    account = account_of(tenant_id)
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    end = (now + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    at_provider = {meter: summaries.totals(account, meter, start, end) for meter in METERS}
    period = period_of(now, account.time_zone)
    document = invoices.draft(tenant_id, period.first_day)
    return {
        "ledger_ms": int(sums["ms"] or 0),
        "ledger_amount": str(sums["amount"] or 0),
        "owed": str(coins(Decimal(sums["amount"] or 0), account.currency)),
        "waived": str(sums["waived"] or 0),
        "log_ms": sum(logged.values()),
        "streams_that_differ": {
            name: [logged[name], charged[name]] for name in logged if logged[name] != charged[name]
        },
        "unposted": unposted,
        "provider_ms": at_provider["ms"],
        "provider_amount": str(Decimal(at_provider["amount"]).scaleb(-6)),
        "invoice": document,
    }
