from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from django.db import connection

from regions import selectors, services
from regions.models import Gateway

pytestmark = pytest.mark.django_db
ONE = services.Report(
    uuid.uuid4(), "eu", "host 1", streams=3, room=17, workers_room=20, draining=False, version=4
)


def age(seconds: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE regions_gateway SET seen_at = seen_at - %s * interval '1 second'", [seconds])


def test_a_region_is_its_gateways_and_has_no_more_room_than_its_workers():
    services.add_region("eu", actor="test")
    services.report(ONE)
    services.report(ONE)
    assert Gateway.objects.count() == 1
    eu = selectors.view().regions["eu"]
    assert (eu.gateways, eu.streams, eu.room) == (1, 3, 17)
    services.report(replace(ONE, id=uuid.uuid4(), streams=4, room=16))
    eu = selectors.view().regions["eu"]
    assert (eu.gateways, eu.streams, eu.room) == (2, 7, 20)
    services.report(replace(ONE, draining=True, room=-1))
    eu = selectors.view().regions["eu"]
    assert (eu.gateways, eu.streams, eu.room) == (1, 4, 16)


def test_who_is_silent_is_not_counted_and_is_forgotten_in_time():
    services.add_region("eu", actor="test")
    services.report(ONE)
    age(selectors.HEARD_WITHIN_S + 1)
    assert selectors.view().regions["eu"].gateways == 0
    (seen,) = selectors.processes("eu")
    assert not seen.heard
    assert (seen.label, seen.streams, seen.version) == ("host 1", 3, 4)
    assert selectors.processes("us") == []
    age(600)
    other = replace(ONE, id=uuid.uuid4(), label="host 2")
    # In a transaction of a test no time passes, so every report is a first one.
    services.report(other)
    assert [process.label for process in selectors.processes()] == ["host 2"]
    services.leave(other.id)
    assert selectors.processes() == []
