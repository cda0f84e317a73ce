from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from prometheus_client import REGISTRY

from metering import health, reconcile
from metering.health import KEEP_S, Health, Watch
from metering.models import MeterIntent
from metering.reconcile.tests.book import DAY, NOON, ship, use
from tenants.scope import staff_scope

pytestmark = pytest.mark.django_db


def intent(house, identifier: str, state: str) -> None:
    with staff_scope():
        MeterIntent.objects.create(
            tenant_id=house.tenant.id, meter="ms", from_seq=1, to_seq=1, value=1, timestamp=timezone.now(),
            customer="cus_1", identifier=identifier, state=state, next_at=timezone.now(),
        )  # fmt: skip


def test_nothing_is_wrong(acme, rival) -> None:
    found = health.read()
    assert not any(found.differences.values())
    assert set(found.differences) == {"lost", "double", "wrong_tenant", "unsent", "ahead", "invoice"}
    assert (found.dead, found.oldest_intent_s, found.unposted, found.log_behind_s) == (0, 0, 0, 0)
    assert 0 <= found.reconciled_s < 600  # since there are tenants
    reconcile.run(DAY)
    assert health.read(timezone.now() + timedelta(hours=27)).reconciled_s >= 27 * 3600 - 600


def test_what_is_wrong_of_whomever_is_counted(acme, rival) -> None:
    ship(acme, "s", (0, 500))
    use(rival, "s", (0, 500))
    reconcile.run(DAY, now=NOON + timedelta(hours=2))
    use(rival, "t", (0, 500), post=False)
    now = timezone.now()
    ship(acme, "u", (0, 500), at=now, until=now - timedelta(minutes=9), closed=False)
    intent(acme, "a", "dead")
    intent(rival, "b", "pending")
    found = health.read(now + timedelta(minutes=1))
    assert found.differences["wrong_tenant"] == 2
    assert (found.dead, found.unposted) == (1, 1)
    assert found.oldest_intent_s >= 59
    assert found.oldest_unposted_s >= 59
    assert found.log_behind_s == pytest.approx(600, abs=5)


def test_it_is_not_asked_for_more_often_than_it_changes() -> None:
    asked, now = [], [0.0]

    def look() -> Health:
        asked.append(now[0])
        return Health({"lost": len(asked)}, 0, 0, 0, 0, 0, 0)

    watch = Watch(look, lambda: now[0])
    for moment in (0.0, 1.0, KEEP_S - 1, KEEP_S, KEEP_S + 1):
        now[0] = moment
        watch.refresh()
    assert asked == [0.0, KEEP_S]
    assert REGISTRY.get_sample_value("stenogate_billing_differences_open", {"kind": "lost"}) == 2
