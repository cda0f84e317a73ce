"""A tenant may be on hold: its keys are good, but no audio is taken. Gateways are told with each key."""

from importlib import import_module

from django.db import migrations, models

limits = import_module("tenants.migrations.0004_limits")
before = limits.before

MATTERS = [*limits.MATTERS["tenants_tenant"], "hold"]
COLUMNS = limits.COLUMNS.replace("project_limits jsonb", "project_limits jsonb, hold varchar")
GRANTS = limits.GRANTS.replace("    FROM public.tenants_apikey", ", t.hold\n    FROM public.tenants_apikey")

FUNCTIONS = {
    signature: sql.replace(limits.COLUMNS, COLUMNS).replace(limits.GRANTS, GRANTS)
    for signature, sql in limits.FUNCTIONS.items()
}


def function_again(signature):
    drop, rights = f"DROP FUNCTION {signature}", before.function(signature).sql[1:]
    return migrations.RunSQL(
        [drop, FUNCTIONS[signature], *rights], [drop, limits.FUNCTIONS[signature], *rights]
    )


def mark_again(table):
    drop = f"DROP TRIGGER mark_change ON {table}"
    return migrations.RunSQL(
        [drop, *limits.mark(table, MATTERS)], [drop, *limits.mark(table, limits.MATTERS[table])]
    )


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0005_key_tags'),
    ]

    operations = [
        migrations.AddField(
            model_name='tenant',
            name='hold',
            field=models.CharField(blank=True, choices=[('', ''), ('spend_cap', 'Spend_cap'), ('prepaid', 'Prepaid'), ('payment', 'Payment')], default='', editable=False, max_length=16),
        ),
        mark_again("tenants_tenant"),
        *[function_again(signature) for signature in FUNCTIONS],
    ]
