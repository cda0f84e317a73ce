"""Each tenant's rows are its own, what they point to is its own, and the audit log only grows."""

from django.db import migrations

from tenants.rls import append_only, enable_rls, same_tenant

REFUSE_CHANGE = """
CREATE FUNCTION tenants_refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused; write a new row instead', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [
        enable_rls("tenants_tenant", column="id"),
        enable_rls("tenants_member"),
        enable_rls("tenants_project"),
        enable_rls("tenants_apikey"),
        enable_rls("tenants_auditentry"),
        same_tenant("tenants_apikey", "project_id", "tenants_project"),
        same_tenant("tenants_apikey", "replaced_by_id", "tenants_apikey"),
        migrations.RunSQL(REFUSE_CHANGE, "DROP FUNCTION tenants_refuse_change()"),
        append_only("tenants_auditentry"),
    ]
