from __future__ import annotations

import json
import stat
from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command

from tenants import selectors, services
from tenants.limits import Limits
from tenants.models import APIKey, Plan, Project, Tenant, User
from tenants.scope import staff_scope

pytestmark = pytest.mark.django_db


@pytest.fixture
def seed(settings):
    settings.DEMO = True

    def run(path=None):
        out = StringIO()
        call_command("seed_demo", stdout=out, **({"secrets": path} if path else {}))
        return json.loads(out.getvalue())

    return run


def signs_in(found):
    user = authenticate(username=found["admin_user"], password=found["admin_password"])
    return user is not None and user.is_staff


def test_without_demo_mode_it_refuses(settings):
    assert settings.DEMO is False
    with pytest.raises(CommandError, match="DEMO=true"):
        call_command("seed_demo")
    assert not User.objects.exists()


def test_it_makes_a_tenant_a_login_and_a_key_that_work(seed, tmp_path):
    path = tmp_path / "run" / "secrets.json"
    found = seed(path)
    assert sorted(found) == ["admin_password", "admin_user", "api_key"]
    assert selectors.find_key(found["api_key"], scope="listen")
    assert signs_in(found)
    assert json.loads(path.read_text()) == found
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secrets.json"]


def test_its_plan_is_generous_and_stays_as_staff_left_it(seed):
    found = seed()
    assert selectors.find_key(found["api_key"]).plan_limits.streams_at_once >= 1000
    with staff_scope():
        services.change_plan(Plan.objects.get(slug="demo"), Limits(streams_at_once=3))
    assert selectors.find_key(seed()["api_key"]).plan_limits == Limits(streams_at_once=3)


def test_again_it_is_the_same(seed, tmp_path):
    path = tmp_path / "secrets.json"
    assert seed(path) == seed(path)
    with staff_scope():
        counts = [model.objects.count() for model in (Tenant, Project, APIKey)]
    assert counts == [1, 1, 1]
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    "content", [None, "", "{", "[]", '{"api_key": 1, "admin_user": 2, "admin_password": 3}']
)
def test_a_file_that_is_lost_or_broken_is_replaced_with_its_secrets(seed, tmp_path, content):
    path = tmp_path / "secrets.json"
    before = seed(path)
    path.unlink() if content is None else path.write_text(content)
    after = seed(path)
    assert after["api_key"] != before["api_key"]
    assert signs_in(after)
    assert not signs_in(before)
    with pytest.raises(Exception, match="revoked"):
        selectors.find_key(before["api_key"])
    assert seed(path) == after


def test_a_revoked_key_is_replaced_and_the_password_stays(seed, tmp_path):
    path = tmp_path / "secrets.json"
    before = seed(path)
    with staff_scope():
        services.revoke_key(APIKey.objects.get())
    after = seed(path)
    assert after["admin_password"] == before["admin_password"]
    assert selectors.find_key(after["api_key"])


def test_a_file_of_another_database_is_not_believed(seed, tmp_path, acme):
    path = tmp_path / "secrets.json"
    path.write_text(json.dumps({"api_key": acme.secret, "admin_user": "x", "admin_password": "y"}))
    assert seed(path)["api_key"] != acme.secret


def test_a_place_that_cannot_be_written_is_one_sentence(seed, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="cannot be written"):
        seed(tmp_path / "file" / "secrets.json")
