from __future__ import annotations

from tenants.permissions import ALLOWED, Permission, Role, allows, to_give


def test_every_role_has_its_permissions_and_an_owner_has_all():
    assert set(ALLOWED) == set(Role)
    assert ALLOWED[Role.OWNER] == set(Permission)
    assert all(Permission.READ in allowed for allowed in ALLOWED.values())


def test_who_may_write_what():
    def may(permission):
        return {role.value for role in Role if allows(role, permission)}

    assert may(Permission.KEYS_WRITE) == {"owner", "admin", "developer"}
    assert may(Permission.PROJECTS_WRITE) == {"owner", "admin"}
    assert may(Permission.MEMBERS_WRITE) == {"owner", "admin"}
    assert may(Permission.BILLING_WRITE) == {"owner", "admin", "billing"}
    assert may(Permission.OWNERS_WRITE) == {"owner"}


def test_only_owners_make_owners():
    assert to_give(Role.OWNER) == Permission.OWNERS_WRITE
    assert {to_give(role) for role in Role if role is not Role.OWNER} == {Permission.MEMBERS_WRITE}
