from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from regions import selectors, services
from regions.models import Change, Flag, Region
from tenants.models import Tenant
from tenants.residency import Where
from tenants.scope import staff_scope
from tenants.selectors import find_grant

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(staff) -> Client:
    client = Client()
    client.force_login(staff)
    return client


def page(model, name: str, *args) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def text(response) -> str:
    return response.content.decode()


def test_a_region_is_added_changed_drained_and_taken_back(browser: Client) -> None:
    browser.post(page(Region, "add"), {"name": "eu", "zone": "europe", "address": "https://eu.example.com"})
    change = page(Region, "change", "eu")
    browser.post(change, {"name": "no", "zone": "", "address": "https://eu2.example.com", "capacity": "70"})
    eu = selectors.view().regions["eu"]
    assert (eu.address, eu.zone, eu.capacity) == ("https://eu2.example.com", "", 70)
    refused = browser.post(change, {"address": "ftp://eu"}, follow=True)
    assert "An address is http:// or https://" in text(refused)
    for verb, state in (("drain", "draining"), ("down", "down"), ("activate", "active")):
        assert "?" in text(browser.get(change.replace("change/", f"{verb}/")))
        browser.post(change.replace("change/", f"{verb}/"))
        assert selectors.view().regions["eu"].state == state
    assert "silent" in text(browser.get(page(Region, "changelist")))
    history = text(browser.get(page(Change, "changelist")))
    assert history.count("region.state") == 3
    assert "staff staff@stenogate.example" in history


def test_a_flag_is_set_turned_and_cleared(browser: Client) -> None:
    browser.post(page(Flag, "add"), {"name": "recorded", "region": "", "tenant": ""})
    with staff_scope():
        flag = Flag.objects.get()
    assert flag.value is False
    browser.post(page(Flag, "change", flag.pk), {"value": "on"})
    with staff_scope():
        assert Flag.objects.get().value is True
    assert "There is no flag" in text(browser.post(page(Flag, "add"), {"name": "rekorded"}, follow=True))
    browser.post(page(Flag, "delete", flag.pk), {"post": "yes"})
    with staff_scope():
        assert not Flag.objects.exists()
        assert [change.what for change in Change.objects.all()] == ["flag.cleared", "flag.set", "flag.set"]


def test_a_tenant_is_told_where_it_may_be(browser: Client, acme, rival) -> None:
    services.add_region("eu", actor="test")
    change = page(Tenant, "change", acme.tenant.id)
    given = {"plan": acme.tenant.plan_id, "residency": "home", "home_region": "eu"}
    browser.post(change, given)
    assert find_grant(acme.key.prefix).where == Where("eu", frozenset({"eu"}))
    assert find_grant(rival.key.prefix).where == Where()
    refused = browser.post(change, {**given, "home_region": "mars"}, follow=True)
    assert "There is no region" in text(refused)
