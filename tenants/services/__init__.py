"""All that is written about tenants is written here: checked against the actor's role, and audited.

`actor` is a `Member`, a staff `User`, or None for the system. Each service opens the tenant's scope itself.
"""

from tenants.services.audit import Actor
from tenants.services.keys import issue_key, revoke_key, rotate_key, touch_keys
from tenants.services.limits import change_plan, create_plan, set_plan, set_project_limits
from tenants.services.members import add_member, change_role, remove_member
from tenants.services.tenants import (
    archive_project,
    create_project,
    create_tenant,
    set_hold,
    set_tenant_state,
)

__all__ = [
    "Actor",
    "add_member",
    "archive_project",
    "change_plan",
    "change_role",
    "create_plan",
    "create_project",
    "create_tenant",
    "issue_key",
    "remove_member",
    "revoke_key",
    "rotate_key",
    "set_hold",
    "set_plan",
    "set_project_limits",
    "set_tenant_state",
    "touch_keys",
]
