"""Where audio of tenants and keys may be. Gateways are told with each key, and when it changes."""

from importlib import import_module

import django.contrib.postgres.fields
import django.core.validators
from django.db import migrations, models

hold = import_module("tenants.migrations.0006_hold")
first = import_module("tenants.migrations.0003_key_lookup")

PLACE = ["residency", "home_region", "allowed_regions"]
MATTERS = {
    "tenants_tenant": (hold.MATTERS, [*hold.MATTERS, *PLACE]),
    "tenants_apikey": (first.MATTERS["tenants_apikey"], [*first.MATTERS["tenants_apikey"], *PLACE]),
}
COLUMNS = hold.COLUMNS.replace("hold varchar", "hold varchar, residency jsonb")


def rule(table):
    # `UNION` compares, which jsonb can be.
    return (
        f"jsonb_build_object('residency', {table}.residency, 'home', {table}.home_region, "
        f"'allowed', {table}.allowed_regions)"
    )


GRANTS = hold.GRANTS.replace(
    ", t.hold\n", f", t.hold,\n           jsonb_build_object('tenant', {rule('t')}, 'key', {rule('k')})\n"
)
FUNCTIONS = {
    signature: sql.replace(hold.COLUMNS, COLUMNS).replace(hold.GRANTS, GRANTS)
    for signature, sql in hold.FUNCTIONS.items()
}


def function_again(signature):
    drop, rights = f"DROP FUNCTION {signature}", first.function(signature).sql[1:]
    return migrations.RunSQL(
        [drop, FUNCTIONS[signature], *rights], [drop, hold.FUNCTIONS[signature], *rights]
    )


def mark_again(table):
    drop = f"DROP TRIGGER mark_change ON {table}"
    before, now = MATTERS[table]
    return migrations.RunSQL(
        [drop, *hold.limits.mark(table, now)], [drop, *hold.limits.mark(table, before)]
    )


def regions():
    name = django.core.validators.RegexValidator('^[a-z][a-z0-9-]{0,31}\\Z')
    one = models.CharField(max_length=32, validators=[name])
    return django.contrib.postgres.fields.ArrayField(base_field=one, blank=True, default=list, size=None)


def home():
    name = django.core.validators.RegexValidator('^[a-z][a-z0-9-]{0,31}\\Z')
    return models.CharField(
        blank=True, default='', help_text='Gone to first.', max_length=32, validators=[name]
    )


CHOICES = [('any', 'Any'), ('allowed', 'Allowed'), ('home', 'Home')]


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0008_plan_history'),
    ]

    operations = [
        migrations.AddField('apikey', 'allowed_regions', regions()),
        migrations.AddField('apikey', 'home_region', home()),
        migrations.AddField(
            'apikey',
            'residency',
            models.CharField(blank=True, choices=CHOICES, default='', help_text="Empty: its tenant's.", max_length=16),
        ),
        migrations.AddField('tenant', 'allowed_regions', regions()),
        migrations.AddField('tenant', 'home_region', home()),
        migrations.AddField(
            'tenant',
            'residency',
            models.CharField(choices=CHOICES, default='any', help_text='Where audio may be.', max_length=16),
        ),
        *[mark_again(table) for table in MATTERS],
        *[function_again(signature) for signature in FUNCTIONS],
    ]
