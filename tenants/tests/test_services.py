from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tenants import errors, selectors, services
from tenants.access import Hold, Scope, TenantState
from tenants.models import APIKey, AuditEntry, Member, Project, Tenant, User
from tenants.permissions import Role
from tenants.scope import staff_scope, tenant_scope

pytestmark = pytest.mark.django_db


def audit(household, action):
    with tenant_scope(household.tenant.id):
        return list(AuditEntry.objects.filter(action=action).order_by("id"))


def member(household, role, name="new"):
    return services.add_member(household.tenant, User.objects.create_user(f"{name}@acme.example"), role)


# ---- tenants and projects


def test_a_new_tenant_has_its_owner_and_says_who_made_it(acme, staff):
    tenant = services.create_tenant("  Third  ", "third", owner=acme.owner.user, actor=staff)
    assert tenant.name == "Third"
    with tenant_scope(tenant.id):
        assert Member.objects.get().role == "owner"
        entries = [(entry.action, entry.actor) for entry in AuditEntry.objects.order_by("id")]
    assert entries == [("tenant.created", f"staff {staff}"), ("member.added", f"staff {staff}")]


@pytest.mark.parametrize(
    ("name", "slug", "error"),
    [
        ("", "third", errors.NameMissing),
        ("x" * 101, "third", errors.NameMissing),
        ("a\0b", "third", errors.NameMissing),
        ("\ud800", "third", errors.NameMissing),
        ("Third", "Third", errors.SlugMalformed),
        ("Third", "3rd", errors.SlugMalformed),
        ("Third", "third\n", errors.SlugMalformed),
        ("Third", "acme", errors.SlugTaken),
    ],
)
def test_a_tenant_that_cannot_be_made_is_refused(acme, name, slug, error):
    with pytest.raises(error):
        services.create_tenant(name, slug)
    with staff_scope():
        assert Tenant.objects.count() == 2


def test_a_hold_is_set_once_and_audited_with_its_reason(acme, rival, staff):
    services.set_hold(acme.tenant, Hold.PREPAID, reason="used up", actor=staff)
    services.set_hold(acme.tenant, Hold.PREPAID, reason="again")
    services.set_hold(acme.tenant, Hold.NONE)
    with staff_scope():
        assert {tenant.hold for tenant in Tenant.objects.all()} == {""}
    assert [(entry.details, entry.actor) for entry in audit(acme, "tenant.hold_changed")] == [
        ({"hold": "prepaid", "reason": "used up"}, f"staff {staff}"),
        ({"hold": "", "reason": ""}, "system"),
    ]
    assert audit(rival, "tenant.hold_changed") == []


def test_nobody_lifts_their_own_hold(acme):
    services.set_hold(acme.tenant, Hold.PAYMENT)
    key, _ = services.issue_key(acme.project, name="All", scopes=list(Scope))
    for actor in (acme.owner, selectors.find_grant(key.prefix)):
        with pytest.raises(errors.RoleNotAllowed):
            services.set_hold(acme.tenant, Hold.NONE, actor=actor)
    assert selectors.find_grant(acme.key.prefix).hold == "payment"


def test_members_do_not_make_or_suspend_tenants(acme):
    with pytest.raises(errors.RoleNotAllowed):
        services.create_tenant("Third", "third", actor=acme.owner)
    with pytest.raises(errors.RoleNotAllowed):
        services.set_tenant_state(acme.tenant, TenantState.SUSPENDED, actor=acme.owner)


def test_staff_suspend_and_reactivate(acme, staff):
    services.set_tenant_state(acme.tenant, TenantState.SUSPENDED, actor=staff)
    services.set_tenant_state(acme.tenant, TenantState.ACTIVE, actor=staff)
    assert len(audit(acme, "tenant.suspended")) == len(audit(acme, "tenant.active")) == 1


def test_projects(acme, bob):
    with pytest.raises(errors.RoleNotAllowed):
        services.create_project(acme.tenant, "New", actor=bob)
    project = services.create_project(acme.tenant, "New", actor=acme.owner)
    services.archive_project(project, actor=acme.owner)
    services.archive_project(project, actor=acme.owner)
    assert project.archived_at is not None
    assert len(audit(acme, "project.archived")) == 1
    with pytest.raises(errors.ProjectArchived):
        services.issue_key(project, name="Late")


# ---- keys


def test_an_issued_key_is_kept_as_prefix_and_hash_only(acme, bob):
    key, text = services.issue_key(
        acme.project, name="Web", scopes=["usage:read", "listen", "listen"],
        allowed_origins=["https://App.example.com:443/"], actor=bob,
    )  # fmt: skip
    with tenant_scope(acme.tenant.id):
        row = APIKey.objects.filter(id=key.id).values().get()
    assert text not in str(row)
    assert text.split("_")[2] not in str(row)
    assert row["scopes"] == ["listen", "usage:read"]
    assert row["allowed_origins"] == ["https://app.example.com"]
    assert row["issued_by_id"] == bob.user_id
    (entry,) = [e for e in audit(acme, "key.issued") if e.subject == key.id]
    assert entry.actor == "bob@acme.example"
    assert text.split("_")[2] not in str(entry.details)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"name": " "}, errors.NameMissing),
        ({"scopes": []}, errors.ScopeUnknown),
        ({"scopes": ["listen", "everything"]}, errors.ScopeUnknown),
        ({"allowed_origins": ["app.example.com"]}, errors.OriginMalformed),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, errors.ExpiryPast),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(acme, given, error):
    with pytest.raises(error):
        services.issue_key(acme.project, **{"name": "Key", **given})


def test_who_may_issue_revoke_and_rotate(acme, rival):
    readers = [member(acme, Role.BILLING, "bill"), member(acme, Role.READ_ONLY, "reader")]
    stranger = User.objects.create_user("nobody@acme.example")
    for actor in [*readers, rival.owner, stranger]:
        for act in (
            lambda a: services.issue_key(acme.project, name="Key", actor=a),
            lambda a: services.revoke_key(acme.key, actor=a),
            lambda a: services.rotate_key(acme.key, actor=a),
        ):
            with pytest.raises(errors.RoleNotAllowed):
                act(actor)


def test_a_member_who_was_disabled_may_nothing(acme, bob):
    bob.user.is_active = False
    with pytest.raises(errors.RoleNotAllowed):
        services.issue_key(acme.project, name="Key", actor=bob)


def test_revoking_twice_is_told_once(acme):
    services.revoke_key(acme.key, actor=acme.owner)
    first = acme.key.revoked_at
    services.revoke_key(acme.key, actor=acme.owner)
    assert acme.key.revoked_at == first
    assert len(audit(acme, "key.revoked")) == 1


def test_a_rotated_key_works_beside_the_new_one_for_the_overlap(acme):
    new, text = services.rotate_key(acme.key, overlap=timedelta(hours=1), actor=acme.owner)
    left = acme.key.expires_at - timezone.now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert acme.key.replaced_by_id == new.id
    assert (new.name, new.scopes, new.project_id, new.expires_at) == (
        acme.key.name, acme.key.scopes, acme.project.id, None,
    )  # fmt: skip
    assert text != acme.secret
    with pytest.raises(errors.KeyNotActive):
        services.rotate_key(acme.key)


def test_rotation_does_not_prolong_a_key_that_ends_sooner(acme):
    soon = timezone.now() + timedelta(minutes=5)
    key, _ = services.issue_key(acme.project, name="Short", expires_at=soon)
    new, _ = services.rotate_key(key, overlap=timedelta(days=1))
    assert key.expires_at == new.expires_at == soon


def test_an_overlap_below_nothing_is_none(acme):
    services.rotate_key(acme.key, overlap=timedelta(seconds=-5))
    assert acme.key.expires_at <= timezone.now()


@pytest.mark.parametrize("ended", [{"revoked_at": 0}, {"expires_at": 0}])
def test_a_key_that_has_ended_is_not_rotated(acme, ended):
    with tenant_scope(acme.tenant.id):
        APIKey.objects.filter(id=acme.key.id).update(**dict.fromkeys(ended, timezone.now()))
    with pytest.raises(errors.KeyNotActive):
        services.rotate_key(acme.key)


def test_touching_notes_the_latest_use_of_any_tenants_keys(acme, rival):
    now = timezone.now()
    assert services.touch_keys([acme.key.id, rival.key.id], at=now) == 2
    assert services.touch_keys([acme.key.id], at=now - timedelta(minutes=1)) == 0
    assert services.touch_keys([]) == 0
    with staff_scope():
        assert {key.last_used_at for key in APIKey.objects.all()} == {now}


# ---- a key that acts


def grant_of(household, **changes):
    issued, _ = services.issue_key(household.project, **{"name": "Acting", "scopes": list(Scope), **changes})
    return selectors.find_grant(issued.prefix)


def test_a_key_issues_and_revokes_keys_and_the_log_says_which(acme):
    grant = grant_of(acme)
    key, _ = services.issue_key(acme.project, name="New", tags=["ci"], actor=grant)
    services.revoke_key(key, actor=grant)
    assert key.tags == ["ci"]
    assert key.issued_by is None
    said = audit(acme, "key.issued")[-1], audit(acme, "key.revoked")[-1]
    assert {entry.actor for entry in said} == {f"key sk_{grant.prefix}…"}


def test_a_key_gives_away_no_more_than_it_has(acme, rival):
    grant = grant_of(acme, scopes=["keys:write", "listen"])
    with pytest.raises(errors.ScopeMissing, match="usage:read"):
        services.issue_key(acme.project, name="More", scopes=["listen", "usage:read"], actor=grant)
    with pytest.raises(errors.ScopeMissing):
        services.issue_key(acme.project, name="Writes", actor=grant_of(acme, scopes=["keys:read"]))
    with pytest.raises(errors.RoleNotAllowed):
        services.issue_key(services.create_project(acme.tenant, "Other"), name="Elsewhere", actor=grant)
    with pytest.raises(errors.RoleNotAllowed):
        services.issue_key(rival.project, name="Theirs", actor=grant)
    with pytest.raises(errors.RoleNotAllowed):
        services.revoke_key(rival.key, actor=grant)


def test_a_key_of_a_key_ends_no_later_and_is_used_from_nowhere_else(acme):
    end = timezone.now() + timedelta(hours=1)
    grant = grant_of(acme, expires_at=end, allowed_origins=["https://app.example.com"])
    for asked in (None, end + timedelta(days=1)):
        key, _ = services.issue_key(acme.project, name="New", expires_at=asked, actor=grant)
        assert key.expires_at == end
        assert key.allowed_origins == ["https://app.example.com"]
    sooner = end - timedelta(minutes=30)
    assert services.issue_key(acme.project, name="S", expires_at=sooner, actor=grant)[0].expires_at == sooner


def test_a_key_does_not_pass_for_the_system(acme):
    grant = grant_of(acme)
    with pytest.raises(errors.RoleNotAllowed):
        services.create_tenant("Third", "third", actor=grant)
    with pytest.raises(errors.RoleNotAllowed):
        services.set_tenant_state(acme.tenant, TenantState.SUSPENDED, actor=grant)
    with pytest.raises(errors.ScopeMissing):
        services.create_project(acme.tenant, "Mine", actor=grant)


# ---- members


def test_only_an_owner_makes_owners(acme, bob):
    admin = member(acme, Role.ADMIN)
    services.change_role(bob, Role.ADMIN, actor=admin)
    for actor in (admin, bob):
        with pytest.raises(errors.RoleNotAllowed):
            services.change_role(bob, Role.OWNER, actor=actor)
        with pytest.raises(errors.RoleNotAllowed):
            services.change_role(acme.owner, Role.READ_ONLY, actor=actor)
        with pytest.raises(errors.RoleNotAllowed):
            services.remove_member(acme.owner, actor=actor)
    services.change_role(bob, Role.OWNER, actor=acme.owner)
    assert [e.details["after"] for e in audit(acme, "member.role_changed")] == ["admin", "owner"]


def test_a_role_is_taken_from_the_database_not_from_what_the_caller_holds(acme, bob):
    bob.role = Role.ADMIN.value  # not saved
    services.change_role(bob, Role.READ_ONLY, actor=acme.owner)
    assert audit(acme, "member.role_changed")[0].details == {"before": "developer", "after": "read-only"}


def test_the_last_owner_stays(acme, bob):
    with pytest.raises(errors.LastOwner):
        services.change_role(acme.owner, Role.ADMIN, actor=acme.owner)
    with pytest.raises(errors.LastOwner):
        services.remove_member(acme.owner, actor=acme.owner)
    services.change_role(bob, Role.OWNER, actor=acme.owner)
    services.remove_member(acme.owner, actor=bob)
    with tenant_scope(acme.tenant.id):
        assert Member.objects.get().user == bob.user


def test_nobody_is_a_member_twice(acme, bob):
    with pytest.raises(errors.AlreadyMember):
        services.add_member(acme.tenant, bob.user, Role.ADMIN)


def test_a_person_may_belong_to_two_tenants(acme, rival, bob):
    services.add_member(rival.tenant, bob.user, Role.READ_ONLY, actor=rival.owner)
    assert audit(rival, "member.added")[-1].details == {"user": "bob@acme.example", "role": "read-only"}
    assert len(audit(acme, "member.added")) == 2


# ---- nothing is half done


def test_what_is_refused_leaves_no_trace(acme, monkeypatch):
    def fail(*args, **details):
        raise RuntimeError("no audit, no change")

    monkeypatch.setattr("tenants.services.tenants.record", fail)
    with pytest.raises(RuntimeError):
        services.create_project(acme.tenant, "Unaudited")
    with tenant_scope(acme.tenant.id):
        assert not Project.objects.filter(name="Unaudited").exists()
