from __future__ import annotations

from decimal import Decimal

import pytest

from metering import demo
from metering.models import PlanVersion
from metering.plans import version_at
from metering.rating import choose, cost
from tenants import demo as tenant
from tenants.models import Tenant
from tenants.scope import staff_scope

pytestmark = pytest.mark.django_db


def test_the_demo_is_priced_once_and_ten_minutes_are_free() -> None:
    tenant.seed(None)
    demo.price()
    demo.price()
    with staff_scope():
        version = PlanVersion.objects.get()
        demo_tenant = Tenant.objects.get(slug=tenant.SLUG)
    now = version_at(demo_tenant.id, version.effective_from)
    live = choose(now, "m", "live", "local")
    assert live is not None
    assert cost(live, 60_000 * 10) == 0
    assert cost(live, 60_000 * 11) == Decimal("0.0058")
