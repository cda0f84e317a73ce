from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from tenants import errors, keytext, selectors, services
from tenants.access import Hold, TenantState
from tenants.scope import tenant_scope

pytestmark = pytest.mark.django_db


def test_a_key_is_found_before_its_tenant_is_known(acme, rival):
    grant = selectors.find_key(acme.secret, scope="listen")
    assert (grant.tenant_id, grant.project_id, grant.key_id) == (acme.tenant.id, acme.project.id, acme.key.id)
    assert grant.sha256 == keytext.digest(acme.secret)
    assert grant.scopes == {"listen"}
    assert (grant.expires_at, grant.revoked_at, grant.allowed_origins) == (None, None, frozenset())
    assert selectors.find_key(rival.secret).tenant_id == rival.tenant.id


@pytest.mark.parametrize(
    ("secret", "error"),
    [(None, errors.KeyMissing), ("x", errors.KeyMalformed), (keytext.generate()[1], errors.KeyUnknown)],
)
def test_what_opens_nothing(acme, secret, error):
    with pytest.raises(error):
        selectors.find_key(secret)


def test_the_right_prefix_with_a_wrong_secret_is_unknown(acme):
    with pytest.raises(errors.KeyUnknown):
        selectors.find_key(f"sk_{acme.key.prefix}_{'a' * 40}")


def test_a_key_ends_with_its_revocation_its_expiry_its_project_and_its_tenant(acme, rival):
    expiring, text = services.issue_key(
        acme.project, name="Short", expires_at=timezone.now() + timedelta(minutes=1)
    )
    with pytest.raises(errors.KeyExpired):
        selectors.find_key(text, now=expiring.expires_at)
    services.archive_project(acme.project)
    with pytest.raises(errors.KeyRevoked):
        selectors.find_key(acme.secret)
    services.set_tenant_state(rival.tenant, TenantState.SUSPENDED)
    with pytest.raises(errors.TenantSuspended):
        selectors.find_key(rival.secret)
    services.set_tenant_state(rival.tenant, TenantState.ACTIVE)
    services.revoke_key(rival.key)
    with pytest.raises(errors.KeyRevoked):
        selectors.find_key(rival.secret)


def test_the_look_up_is_one_indexed_read(acme, django_assert_num_queries):
    with django_assert_num_queries(1):
        selectors.find_grant(acme.key.prefix)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL auto_explain.log_min_duration = -1")
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'tenants_apikey'")
        assert any("UNIQUE" in line and line.endswith("(prefix)") for (line,) in cursor.fetchall())


def test_the_look_up_tells_nothing_but_grants(acme):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname, prosecdef, proconfig, proowner::regrole::text FROM pg_proc WHERE prosecdef"
        )
        functions = cursor.fetchall()
        cursor.execute("SELECT has_function_privilege('public', oid, 'EXECUTE') FROM pg_proc WHERE prosecdef")
        open_to_all = {row[0] for row in cursor.fetchall()}
    assert {name for name, *_ in functions} == {
        "metering_ship", "tenants_find_grant", "tenants_grants_changed", "tenants_touch_keys",
    }  # fmt: skip
    assert all(
        config == ["search_path=pg_catalog, pg_temp"] and owner == "stenogate_app_staff"
        for _, _, config, owner in functions
    )
    assert open_to_all == {False}


# ---- what changed


def prefixes(changes):
    return {grant.prefix for grant in changes.grants}


def test_many_are_found_at_once_and_those_that_are_not_there_are_left_out(acme, rival):
    prefixes = [acme.key.prefix, "nobody-has-it", rival.key.prefix]
    found = {grant.prefix: grant for grant in selectors.find_grants(prefixes)}
    assert found == {key.prefix: selectors.find_grant(key.prefix) for key in (acme.key, rival.key)}
    assert {grant.tenant_id for grant in found.values()} == {acme.tenant.id, rival.tenant.id}
    assert selectors.find_grants([]) == []


@pytest.mark.django_db(transaction=True)
def test_gateways_hear_of_what_matters_and_of_nothing_else(acme, rival):
    start = selectors.changes_since(None)
    assert start.grants == ()
    services.touch_keys([acme.key.id])
    services.create_project(acme.tenant, "Other")
    quiet = selectors.changes_since(start.moment)
    assert quiet.grants == ()

    services.revoke_key(acme.key)
    told = selectors.changes_since(quiet.moment)
    assert prefixes(told) == {acme.key.prefix}
    assert told.grants[0].revoked_at is not None
    assert selectors.changes_since(told.moment).grants == ()

    services.set_tenant_state(rival.tenant, TenantState.SUSPENDED)
    told = selectors.changes_since(told.moment)
    assert [(g.prefix, g.tenant_state) for g in told.grants] == [(rival.key.prefix, "suspended")]

    services.set_hold(rival.tenant, Hold.PREPAID)
    told = selectors.changes_since(told.moment)
    assert [(g.prefix, g.hold) for g in told.grants] == [(rival.key.prefix, "prepaid")]
    assert selectors.find_grant(rival.key.prefix).hold == "prepaid"
    services.set_hold(rival.tenant, Hold.PREPAID)
    assert selectors.changes_since(told.moment).grants == ()

    new, _ = services.rotate_key(rival.key)
    told = selectors.changes_since(told.moment)
    assert prefixes(told) == {rival.key.prefix, new.prefix}

    services.archive_project(rival.project)
    assert prefixes(selectors.changes_since(told.moment)) == {rival.key.prefix, new.prefix}


@pytest.mark.django_db(transaction=True)
def test_a_change_that_commits_late_is_told_late_and_not_lost(acme, rival):
    """The trap of time stamps: revoked at 12:00:00, committed at 12:00:05, asked for since 12:00:04."""
    start = selectors.changes_since(None)
    written, may_commit = threading.Event(), threading.Event()

    def slow():
        try:
            with transaction.atomic():
                services.revoke_key(acme.key)
                written.set()
                may_commit.wait(20)
        finally:
            connections.close_all()

    thread = threading.Thread(target=slow)
    thread.start()
    assert written.wait(20)
    services.revoke_key(rival.key)  # later, and committed first
    during = selectors.changes_since(start.moment)
    assert prefixes(during) == {rival.key.prefix}
    may_commit.set()
    thread.join()
    after = selectors.changes_since(during.moment)
    assert acme.key.prefix in prefixes(after)
    assert selectors.changes_since(after.moment).grants == ()


def test_members_of_the_tenant_in_scope(acme, rival, bob):
    with tenant_scope(acme.tenant.id):
        assert [member.user.email for member in selectors.members()] == [
            "alice@acme.example",
            "bob@acme.example",
        ]
        assert selectors.member_of(bob.user, acme.tenant.id) == bob
        assert selectors.member_of(rival.owner.user, acme.tenant.id) is None
