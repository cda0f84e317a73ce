from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from metering import services
from metering.ledger.tests.make import usage
from metering.selectors import processed_ms

pytestmark = pytest.mark.django_db


def event(household, stream, to_ms, **changes):
    return usage(household, to_ms=to_ms, stream=stream, **({"region": "eu-1"} | changes))


def test_the_audio_of_a_tenant_of_a_project_since_a_moment_in_a_region(acme, rival):
    since = timezone.now() - timedelta(hours=1)
    services.record(
        [
            event(acme, "one", 1000),
            event(acme, "one", 2500, from_ms=1000),
            event(acme, "two", 300, project=str(uuid.uuid4())),
            event(acme, "there", 40_000, region="us-1"),
            event(rival, "theirs", 40_000),
        ]
    )
    assert processed_ms(acme.tenant.id, since=since, region="eu-1") == 2800
    assert processed_ms(acme.tenant.id, since=since, region="eu-1", project_id=acme.project.id) == 2500
    assert processed_ms(acme.tenant.id, since=timezone.now(), region="eu-1") == 0
    assert processed_ms(rival.tenant.id, since=since, region="us-1") == 0
