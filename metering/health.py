"""How billing does, in a few numbers that are cheap to ask for: what alerts are made of. See ops/alerts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone
from prometheus_client import Gauge

from metering.models import Difference, Reconciliation
from metering.models.reconciliation import DifferenceKind
from tenants.scope import staff_scope

# Whoever asks more often gets the last answer: asking must not become a load on the database.
KEEP_S = 15.0
COUNT_AT_MOST = 100_000
# A worker's file that nobody has heard of for so long is of a machine that is gone; reconciliation says so.
LOGS_OF = timedelta(days=3)

differences = Gauge("stenogate_billing_differences_open", "Differences that wait or need a person.", ["kind"])
reconciled = Gauge(
    "stenogate_billing_reconciled_age_seconds",
    "Since a whole reconciliation ended; since the first tenant was made if there was none.",
)
dead = Gauge("stenogate_billing_intents_dead", "Meter events that the provider refused for good.")
stuck = Gauge(
    "stenogate_billing_intents_oldest_seconds", "How long the oldest meter event waits to be delivered."
)
unposted = Gauge("stenogate_billing_unposted", "Usage events that are not in the ledger yet.")
unposted_oldest = Gauge(
    "stenogate_billing_unposted_oldest_seconds", "How long the oldest of them has been stored."
)
log_behind = Gauge(
    "stenogate_billing_inference_log_behind_seconds", "How far the log of the slowest worker is behind."
)

QUERY = """
SELECT
    (SELECT count(*) FROM metering_meterintent WHERE state = 'dead'),
    (SELECT min(created_at) FROM metering_meterintent WHERE state IN ('pending', 'sending', 'doubtful')
        AND next_at <= now() + interval '1 hour'),
    (SELECT count(*) FROM (SELECT 1 FROM metering_unposted LIMIT %(most)s) AS waiting),
    (SELECT e.recorded_at FROM metering_unposted u JOIN metering_usageevent e ON e.id = u.event_id
        ORDER BY u.event_id LIMIT 1),
    (SELECT min(complete_until) FROM metering_inferencelog WHERE NOT closed AND seen_at > %(since)s),
    (SELECT min(created_at) FROM tenants_tenant)
"""


@dataclass(frozen=True)
class Health:
    differences: dict[str, int]
    reconciled_s: float
    dead: int
    oldest_intent_s: float
    unposted: int
    oldest_unposted_s: float
    log_behind_s: float


def read(now: datetime | None = None) -> Health:
    now = now or timezone.now()

    def since(moment: datetime | None) -> float:
        return max(0.0, (now - moment).total_seconds()) if moment else 0.0

    with staff_scope():
        kinds = dict.fromkeys((kind.value for kind in DifferenceKind), 0)
        for kind in Difference.objects.filter(open=True).values_list("kind", flat=True)[:COUNT_AT_MOST]:
            kinds[kind] += 1
        last = (
            Reconciliation.objects.filter(only=None, dry_run=False, finished_at__isnull=False)
            .order_by("-started_at")
            .values_list("finished_at", flat=True)
            .first()
        )
        with connection.cursor() as cursor:
            cursor.execute(QUERY, {"most": COUNT_AT_MOST, "since": now - LOGS_OF})
            refused, oldest, waiting, stored, behind, first = cursor.fetchone()
    return Health(kinds, since(last or first), refused, since(oldest), waiting, since(stored), since(behind))


class Watch:
    """Reads at most every KEEP_S seconds, whoever asks and however often."""

    def __init__(
        self, look: Callable[[], Health] = read, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look, self._clock = look, clock
        self._lock = threading.Lock()
        self._at: float | None = None

    def refresh(self) -> None:
        with self._lock:
            if self._at is not None and self._clock() - self._at < KEEP_S:
                return
            self._at = self._clock()
            tell(self._look())


def tell(found: Health) -> None:
    for kind, number in found.differences.items():
        differences.labels(kind).set(number)
    reconciled.set(found.reconciled_s)
    dead.set(found.dead)
    stuck.set(found.oldest_intent_s)
    unposted.set(found.unposted)
    unposted_oldest.set(found.oldest_unposted_s)
    log_behind.set(found.log_behind_s)
