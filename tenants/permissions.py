"""What a member's role allows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    DEVELOPER = "developer"
    BILLING = "billing"
    READ_ONLY = "read-only"


class Permission(StrEnum):
    READ = "read"  # projects, keys (never their text), members
    USAGE_READ = "usage:read"
    AUDIT_READ = "audit:read"
    KEYS_WRITE = "keys:write"
    PROJECTS_WRITE = "projects:write"
    MEMBERS_WRITE = "members:write"
    BILLING_WRITE = "billing:write"
    OWNERS_WRITE = "owners:write"  # make and unmake owners


_READ = frozenset({Permission.READ, Permission.USAGE_READ})

ALLOWED: Mapping[Role, frozenset[Permission]] = {
    Role.OWNER: frozenset(Permission),
    Role.ADMIN: frozenset(Permission) - {Permission.OWNERS_WRITE},
    Role.DEVELOPER: _READ | {Permission.KEYS_WRITE},
    Role.BILLING: _READ | {Permission.BILLING_WRITE},
    Role.READ_ONLY: _READ,
}


def allows(role: str, permission: Permission) -> bool:
    return permission in ALLOWED[Role(role)]


def to_give(role: str) -> Permission:
    """The permission it takes to give or take `role`."""
    return Permission.OWNERS_WRITE if role == Role.OWNER else Permission.MEMBERS_WRITE
