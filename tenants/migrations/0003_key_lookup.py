"""What gateways may know before they know the tenant: one key by its prefix, the keys that changed, and
that keys were used. The functions run as the staff role, whose policies see every tenant."""

from django.db import migrations

from tenants.database import app_role, staff_role

# Each table notes the transaction of the last change that matters to a gateway; see selectors.changes_since.
# The time beside it bounds what is told if the numbers start again lower, as after a restore elsewhere.
MARK = """
ALTER TABLE {table} ADD COLUMN changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
                    ADD COLUMN changed_at timestamptz NOT NULL DEFAULT clock_timestamp();
CREATE INDEX {table}_changed ON {table} (changed_xid);
CREATE TRIGGER mark_change BEFORE UPDATE ON {table} FOR EACH ROW
    WHEN ({when}) EXECUTE FUNCTION tenants_mark_change();
"""
UNMARK = """
DROP TRIGGER mark_change ON {table};
ALTER TABLE {table} DROP COLUMN changed_xid, DROP COLUMN changed_at;
"""
MATTERS = {
    "tenants_tenant": ["state"],
    "tenants_project": ["archived_at"],
    "tenants_apikey": ["sha256", "scopes", "allowed_origins", "expires_at", "revoked_at"],
}

MARK_CHANGE = """
CREATE FUNCTION tenants_mark_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    NEW.changed_xid = pg_current_xact_id();
    NEW.changed_at = clock_timestamp();
    RETURN NEW;
END
$$
"""

COLUMNS = """TABLE (
    tenant_id uuid, project_id uuid, key_id uuid, prefix varchar, sha256 bytea, scopes varchar[],
    expires_at timestamptz, revoked_at timestamptz, allowed_origins varchar[], tenant_state varchar
)"""
GRANTS = """
    SELECT k.tenant_id, k.project_id, k.id, k.prefix, k.sha256, k.scopes,
           k.expires_at, LEAST(k.revoked_at, p.archived_at), k.allowed_origins, t.state
    FROM public.tenants_apikey k
    JOIN public.tenants_project p ON p.id = k.project_id
    JOIN public.tenants_tenant t ON t.id = k.tenant_id
"""
AS_STAFF = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
CHANGED = "{0}.changed_xid >= since AND {0}.changed_at > now() - interval '1 day'"

FUNCTIONS = {
    "tenants_find_grant(text)": f"""
CREATE FUNCTION tenants_find_grant(wanted text) RETURNS {COLUMNS} LANGUAGE sql STABLE ROWS 1 {AS_STAFF} AS $$
    {GRANTS} WHERE k.prefix = wanted
$$""",
    "tenants_grants_changed(xid8)": f"""
CREATE FUNCTION tenants_grants_changed(since xid8) RETURNS {COLUMNS} LANGUAGE sql STABLE {AS_STAFF} AS $$
    {GRANTS} WHERE {CHANGED.format("k")}
    UNION {GRANTS} WHERE {CHANGED.format("p")}
    UNION {GRANTS} WHERE {CHANGED.format("t")}
$$""",
    "tenants_touch_keys(uuid[], timestamptz)": f"""
CREATE FUNCTION tenants_touch_keys(ids uuid[], used_at timestamptz) RETURNS bigint LANGUAGE sql {AS_STAFF} AS $$
    WITH free AS (
        SELECT id FROM public.tenants_apikey
        WHERE id = ANY (ids) AND (last_used_at IS NULL OR last_used_at < used_at)
        FOR UPDATE SKIP LOCKED
    ), touched AS (
        UPDATE public.tenants_apikey k SET last_used_at = used_at FROM free WHERE k.id = free.id RETURNING 1
    )
    SELECT count(*) FROM touched
$$""",
}


def marks(table: str) -> migrations.RunSQL:
    when = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in MATTERS[table])
    return migrations.RunSQL(MARK.format(table=table, when=when), UNMARK.format(table=table))


def function(signature: str) -> migrations.RunSQL:
    return migrations.RunSQL(
        [
            FUNCTIONS[signature],
            f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC",
            f"GRANT EXECUTE ON FUNCTION {signature} TO {app_role()}, {staff_role()}",
            # A function's new owner must be allowed to create in its schema, for this moment.
            f"GRANT CREATE ON SCHEMA public TO {staff_role()}",
            f"ALTER FUNCTION {signature} OWNER TO {staff_role()}",
            f"REVOKE CREATE ON SCHEMA public FROM {staff_role()}",
        ],
        f"DROP FUNCTION {signature}",
    )


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_row_security")]

    operations = [
        migrations.RunSQL(MARK_CHANGE, "DROP FUNCTION tenants_mark_change()"),
        *[marks(table) for table in MATTERS],
        *[function(signature) for signature in FUNCTIONS],
    ]
