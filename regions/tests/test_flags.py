from __future__ import annotations

import uuid

import pytest

from regions import errors, flags, selectors, services
from regions.flags import KNOWN, RECORDED, Flags, Setting

ACME, RIVAL = uuid.UUID(int=1), uuid.UUID(int=2)


def test_a_tenants_counts_before_its_regions_and_that_before_the_one_for_all():
    assert Flags().on(RECORDED, region="eu", tenant=ACME) is KNOWN[RECORDED].default
    for_all = Setting(RECORDED, "", None, False)
    in_eu, of_acme = Setting(RECORDED, "eu", None, True), Setting(RECORDED, "", ACME, False)
    assert not flags.flags([for_all]).on(RECORDED, region="eu", tenant=ACME)
    assert flags.flags([for_all, in_eu]).on(RECORDED, region="eu", tenant=ACME)
    assert not flags.flags([for_all, in_eu]).on(RECORDED, region="us", tenant=ACME)
    assert not flags.flags([for_all, in_eu, of_acme]).on(RECORDED, region="eu", tenant=ACME)
    assert flags.flags([for_all, in_eu, of_acme]).on(RECORDED, region="eu", tenant=RIVAL)


@pytest.mark.django_db
def test_a_flag_is_set_and_cleared_and_read_when_something_changed():
    services.add_region("eu", actor="test")
    version = services.set_flag(RECORDED, False, region="eu", actor="test")
    seen = selectors.view(None)
    assert seen.version == version
    assert seen.flags is not None
    assert not seen.flags.on(RECORDED, region="eu", tenant=ACME)
    assert seen.flags.on(RECORDED, region="us", tenant=ACME)
    assert selectors.view(version).flags is None
    assert services.set_flag(RECORDED, False, region="eu", actor="test") == version
    assert services.set_flag(RECORDED, None, region="eu", actor="test") == version + 1
    assert selectors.set_flags() == Flags()
    services.set_flag(RECORDED, False, tenant=ACME, actor="test")
    assert not selectors.set_flags().on(RECORDED, region="us", tenant=ACME)


@pytest.mark.django_db
def test_what_is_no_setting_of_a_flag(monkeypatch):
    with pytest.raises(errors.FlagUnknown, match="There are: resume, recorded"):
        services.set_flag("no_such_flag", True, actor="test")
    with pytest.raises(errors.FlagMisplaced):
        services.set_flag(RECORDED, True, region="eu", tenant=ACME, actor="test")
    with pytest.raises(errors.RegionUnknown):
        services.set_flag(RECORDED, True, region="mars", actor="test")
    monkeypatch.setattr("regions.services.flags.MAX_SETTINGS", 1)
    services.set_flag(RECORDED, True, tenant=ACME, actor="test")
    services.set_flag(RECORDED, False, tenant=ACME, actor="test")
    with pytest.raises(errors.TooManyFlags):
        services.set_flag(RECORDED, True, tenant=RIVAL, actor="test")
