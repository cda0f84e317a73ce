"""Changes are numbered as they happen, and who may read and write what."""

from django.db import migrations

from tenants.database import app_role, staff_role
from tenants.rls import append_only

# One change at a time, until its transaction ends: whoever has seen a number has seen all below it.
NOTE = """
CREATE FUNCTION regions_note(who text, what text, subject text, tenant uuid, details jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE number bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(x'57e00001'::bit(32)::bigint);
    SELECT coalesce(max(version), 0) + 1 INTO number FROM regions_change;
    INSERT INTO regions_change (version, at, who, what, subject, tenant, details)
    VALUES (number, clock_timestamp(), who, what, subject, tenant, details);
    RETURN number;
END
$$
"""

# What services tell in a tenant's log is configuration if gateways go by it. A plan's change is in the log of
# every tenant on it, and one change all the same.
NUMBER = """
CREATE FUNCTION regions_number_changes() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM regions_note(c.actor, c.action, c.subject, c.tenant, c.details) FROM (
        SELECT DISTINCT actor::text, action::text, subject::text, details,
               CASE WHEN action = 'plan.changed' THEN NULL ELSE tenant_id END AS tenant
        FROM told
        WHERE action IN ('plan.changed', 'tenant.plan_changed', 'project.limits_changed',
                         'tenant.residency_changed', 'key.residency_changed')
    ) c;
    RETURN NULL;
END
$$
"""
TRIGGER = """
CREATE TRIGGER number_changes AFTER INSERT ON tenants_auditentry REFERENCING NEW TABLE AS told
FOR EACH STATEMENT EXECUTE FUNCTION regions_number_changes()
"""

app, staff = app_role(), staff_role()


class Migration(migrations.Migration):

    dependencies = [("regions", "0001_initial"), ("tenants", "0009_residency")]

    operations = [
        migrations.RunSQL(
            [
                f"REVOKE INSERT, UPDATE, DELETE ON regions_region, regions_flag FROM {app}",
                f"REVOKE ALL ON regions_change FROM {app}",
                f"GRANT INSERT, SELECT (version) ON regions_change TO {app}",
            ],
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON regions_region, regions_flag, regions_change TO {app}",
        ),
        append_only("regions_change"),
        migrations.RunSQL(NOTE, "DROP FUNCTION regions_note(text, text, text, uuid, jsonb)"),
        migrations.RunSQL(NUMBER, "DROP FUNCTION regions_number_changes()"),
        migrations.RunSQL(TRIGGER, "DROP TRIGGER number_changes ON tenants_auditentry"),
    ]
