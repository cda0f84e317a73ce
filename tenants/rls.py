"""Migration operations: what makes a table a tenant's own.

    operations = [
        migrations.CreateModel(...),
        enable_rls("metering_usageevent"),
        same_tenant("metering_usageevent", "project_id", "tenants_project"),
        append_only("metering_usageevent"),
    ]

They act on PostgreSQL alone, so a table that is created again by a later migration needs them again.
`tenants/tests/test_isolation.py` fails for a model with a tenant and without a policy.
"""

from __future__ import annotations

import re

from django.db import migrations

from tenants.database import app_role, staff_role

# After a transaction-local set_config the setting becomes '', not NULL: hence NULLIF. Without a tenant the
# comparison is with NULL, so no row is seen and none may be written.
CURRENT_TENANT = "NULLIF(current_setting('app.tenant', true), '')::uuid"


def enable_rls(table: str, column: str = "tenant_id") -> migrations.RunSQL:
    """Rows of `table` exist only for the tenant in `column`, and for staff; also for the table's owner."""
    _name(table, column)
    mine = f"{column} = {CURRENT_TENANT}"
    return migrations.RunSQL(
        [
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY tenant_rows ON {table} USING ({mine}) WITH CHECK ({mine})",
            # A constant, not a setting: PostgreSQL drops it when it plans, so staff's searches use indexes
            # that a policy with a condition would keep them from (LIKE is not leakproof).
            f"CREATE POLICY staff_rows ON {table} TO {staff_role()} USING (true) WITH CHECK (true)",
        ],
        [
            f"DROP POLICY staff_rows ON {table}",
            f"DROP POLICY tenant_rows ON {table}",
            f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        ],
    )


def same_tenant(table: str, column: str, to_table: str) -> migrations.RunSQL:
    """What `column` points to belongs to the row's own tenant.

    PostgreSQL checks foreign keys past row-level security, so a plain one could name another tenant's row.
    `to_table` needs a unique constraint on (tenant_id, id), as projects and keys have.
    """
    _name(table, column, to_table)
    constraint = f"{table}_{column}_same_tenant"[:63]
    return migrations.RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {constraint} FOREIGN KEY (tenant_id, {column}) "
        f"REFERENCES {to_table} (tenant_id, id) DEFERRABLE INITIALLY DEFERRED",
        f"ALTER TABLE {table} DROP CONSTRAINT {constraint}",
    )


def append_only(table: str) -> migrations.RunSQL:
    """Rows of `table` are never changed or deleted, not even by the table's owner."""
    _name(table)
    both = f"{app_role()}, {staff_role()}"
    return migrations.RunSQL(
        [
            f"REVOKE UPDATE, DELETE ON {table} FROM {both}",
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION tenants_refuse_change()",
        ],
        [
            f"DROP TRIGGER append_only ON {table}",
            f"GRANT UPDATE, DELETE ON {table} TO {both}",
        ],
    )


def _name(*names: str) -> None:
    for name in names:
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name):
            raise ValueError(f"{name!r} is not the name of a table or column")
