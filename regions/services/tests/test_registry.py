from __future__ import annotations

import uuid

import pytest
from django.db import connection

from regions import errors, selectors, services
from regions.models import Region
from regions.routing import State
from tenants.errors import RoleNotAllowed
from tenants.residency import Rule
from tenants.scope import staff_scope

pytestmark = pytest.mark.django_db


def add(name: str = "eu", **given):
    return services.add_region(name, **{"address": "https://eu.example.com", **given}, actor="test")


def test_a_region_is_added_changed_and_seen_by_all():
    first = add(zone="europe", capacity=100)
    found = selectors.view().regions["eu"]
    assert (found.address, found.zone, found.state, found.capacity) == (
        "https://eu.example.com", "europe", "active", 100,
    )  # fmt: skip
    assert services.change_region("eu", address="http://127.0.0.1:8000/", actor="test") == first + 1
    assert selectors.view().regions["eu"].address == "http://127.0.0.1:8000"
    assert services.change_region("eu", address="http://127.0.0.1:8000", actor="test") == first + 1
    assert services.change_region("eu", capacity=None, actor="test") == first + 2
    assert selectors.view().regions["eu"].capacity is None
    with pytest.raises(errors.RegionTaken):
        add()
    services.ensure_region("eu", actor="test")
    assert selectors.view().version == first + 2


def test_a_state_is_set_once():
    first = add()
    assert services.set_state("eu", State.DRAINING, actor="test") == first + 1
    assert selectors.view().regions["eu"].state == "draining"
    assert services.set_state("eu", State.DRAINING, actor="test") == first + 1
    assert services.set_state("eu", State.ACTIVE, actor="test") == first + 2


def test_no_two_have_one_address():
    first = add()
    with pytest.raises(errors.AddressTaken, match="already: eu"):
        add("us", address="https://EU.example.com/")
    assert services.add_region("us", actor="test") == first + 1  # nothing is left of the other try
    assert services.add_region("ap", actor="test") == first + 2  # any number may have none
    with pytest.raises(errors.AddressTaken):
        services.change_region("us", address="https://eu.example.com", actor="test")
    assert services.change_region("us", zone="america", actor="test") == first + 3
    assert selectors.view().regions["us"].address == ""


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"name": "EU"}, errors.RegionMalformed),
        ({"name": "e" * 33}, errors.RegionMalformed),
        ({"name": "eu\n"}, errors.RegionMalformed),
        ({"address": "eu.example.com"}, errors.AddressMalformed),
        ({"address": "wss://eu.example.com"}, errors.AddressMalformed),
        ({"address": "https://eu.example.com/v1"}, errors.AddressMalformed),
        ({"address": "https://eu.example.com?a=b"}, errors.AddressMalformed),
        ({"address": "https://me:secret@eu.example.com"}, errors.AddressMalformed),
        ({"address": "https://eu.example.com\r\nx: y"}, errors.AddressMalformed),
        ({"address": "https://eu.example.com:99999"}, errors.AddressMalformed),
        ({"address": "https://" + "e" * 90 + ".example.com"}, errors.AddressMalformed),
        ({"zone": "Europe West"}, errors.ZoneMalformed),
        ({"capacity": 0}, errors.CapacityMalformed),
        ({"capacity": 2**31}, errors.CapacityMalformed),
        ({"capacity": True}, errors.CapacityMalformed),
    ],
)
def test_what_no_region_can_be(given, error):
    with pytest.raises(error):
        add(**given)
    assert not Region.objects.exists()


def test_only_ours_write(acme, staff):
    with pytest.raises(RoleNotAllowed):
        services.add_region("eu", actor=acme.owner.user)
    services.add_region("eu", actor=staff)
    with pytest.raises(errors.RegionUnknown, match=r"no region 'mars'. There are: eu"):
        services.set_state("mars", State.DOWN, actor=staff)
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('stenogate_app', 'regions_region', 'UPDATE')")
        assert cursor.fetchone() == (False,)


@pytest.fixture
def local():
    services.report(
        services.Report(
            uuid.uuid4(), "local", "host 1", streams=1, room=5, workers_room=9, draining=False, version=0
        )
    )


def test_a_region_that_nobody_added_is_there_with_its_first_gateway_and_can_be_drained(local):
    assert selectors.view().regions["local"].gateways == 1
    services.set_state("local", State.DRAINING, actor="test")
    found = selectors.view().regions["local"]
    assert (found.state, found.gateways, found.streams) == ("draining", 1, 1)


def test_it_can_have_a_flag_and_be_a_home_too(local, acme):
    services.set_flag("recorded", False, region="local", actor="test")
    assert selectors.view().flags.on("recorded", region="local", tenant=acme.tenant.id) is False
    with staff_scope():
        Region.objects.all().delete()
    services.set_tenant_residency(acme.tenant, Rule("home", "local"), actor="test")
    assert Region.objects.get().name == "local"
