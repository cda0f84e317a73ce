"""Plans, and what they and projects allow; gateways are told with each key, and when it changes."""

import uuid
from decimal import Decimal
from importlib import import_module

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

from tenants.database import app_role

before = import_module("tenants.migrations.0003_key_lookup")

# The same as in tenants.plans, which sees to it that the row is there also after a flush.
DEFAULT_PLAN = """
INSERT INTO tenants_plan (id, name, slug, streams_at_once, openings_a_minute, requests_a_second, created_at)
VALUES ('00000000-0000-4000-8000-000000000001', 'Default', 'default', 1000, 12000, 200, now())
"""

LIMITS = ["streams_at_once", "openings_a_minute", "requests_a_second", "audio_hours_a_day"]
MATTERS = {
    "tenants_tenant": [*before.MATTERS["tenants_tenant"], "plan_id"],
    "tenants_project": [*before.MATTERS["tenants_project"], *LIMITS],
}

COLUMNS = before.COLUMNS.replace(
    "tenant_state varchar", "tenant_state varchar, plan varchar, plan_limits jsonb, project_limits jsonb"
)


def limits(table):
    return "jsonb_build_object(" + ", ".join(f"'{name}', {table}.{name}" for name in LIMITS) + ")"


GRANTS = before.GRANTS.replace(
    "t.state", f"t.state, l.name, {limits('l')}, {limits('p')}"
) + "    JOIN public.tenants_plan l ON l.id = t.plan_id\n"

FUNCTIONS = {
    "tenants_find_grant(text)": f"""
CREATE FUNCTION tenants_find_grant(wanted text) RETURNS {COLUMNS} LANGUAGE sql STABLE ROWS 1 {before.AS_STAFF} AS $$
    {GRANTS} WHERE k.prefix = wanted
$$""",
    "tenants_grants_changed(xid8)": f"""
CREATE FUNCTION tenants_grants_changed(since xid8) RETURNS {COLUMNS} LANGUAGE sql STABLE {before.AS_STAFF} AS $$
    {GRANTS} WHERE {before.CHANGED.format("k")}
    UNION {GRANTS} WHERE {before.CHANGED.format("p")}
    UNION {GRANTS} WHERE {before.CHANGED.format("t")}
    UNION {GRANTS} WHERE {before.CHANGED.format("l")}
$$""",
}


def mark(table, columns):
    when = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in columns)
    return [
        f"CREATE TRIGGER mark_change BEFORE UPDATE ON {table} FOR EACH ROW "
        f"WHEN ({when}) EXECUTE FUNCTION tenants_mark_change()"
    ]


def marks_again(table):
    drop = f"DROP TRIGGER mark_change ON {table}"
    return migrations.RunSQL(
        [drop, *mark(table, MATTERS[table])], [drop, *mark(table, before.MATTERS[table])]
    )


def function_again(signature):
    """A function whose columns change is made anew, for whom and by whom as before."""
    drop, rights = f"DROP FUNCTION {signature}", before.function(signature).sql[1:]
    return migrations.RunSQL(
        [drop, FUNCTIONS[signature], *rights], [drop, before.FUNCTIONS[signature], *rights]
    )


MARK_PLAN = before.MARK.format(
    table="tenants_plan", when=" OR ".join(f"OLD.{name} IS DISTINCT FROM NEW.{name}" for name in ["name", *LIMITS])
)


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0003_key_lookup'),
    ]

    operations = [
        migrations.CreateModel(
            name='Plan',
            fields=[
                ('streams_at_once', models.PositiveIntegerField(blank=True, help_text='Streams that may be open at the same time. Empty: no limit.', null=True, validators=[django.core.validators.MinValueValidator(1)])),
                ('openings_a_minute', models.PositiveIntegerField(blank=True, help_text='New streams in any sixty seconds. Empty: no limit.', null=True, validators=[django.core.validators.MinValueValidator(1)])),
                ('requests_a_second', models.PositiveIntegerField(blank=True, help_text='Requests that are no streams, in any second. Empty: no limit.', null=True, validators=[django.core.validators.MinValueValidator(1)])),
                ('audio_hours_a_day', models.DecimalField(blank=True, decimal_places=3, help_text='Hours of processed audio from midnight to midnight UTC. Empty: no limit.', max_digits=9, null=True, validators=[django.core.validators.MinValueValidator(Decimal('0.001'))])),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100)),
                ('slug', models.CharField(max_length=50, unique=True, validators=[django.core.validators.RegexValidator('^[a-z][a-z0-9-]*$')])),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['name', 'id'],
                'abstract': False,
            },
        ),
        migrations.AddField(
            model_name='project',
            name='audio_hours_a_day',
            field=models.DecimalField(blank=True, decimal_places=3, help_text='Hours of processed audio from midnight to midnight UTC. Empty: no limit.', max_digits=9, null=True, validators=[django.core.validators.MinValueValidator(Decimal('0.001'))]),
        ),
        migrations.AddField(
            model_name='project',
            name='openings_a_minute',
            field=models.PositiveIntegerField(blank=True, help_text='New streams in any sixty seconds. Empty: no limit.', null=True, validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.AddField(
            model_name='project',
            name='requests_a_second',
            field=models.PositiveIntegerField(blank=True, help_text='Requests that are no streams, in any second. Empty: no limit.', null=True, validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.AddField(
            model_name='project',
            name='streams_at_once',
            field=models.PositiveIntegerField(blank=True, help_text='Streams that may be open at the same time. Empty: no limit.', null=True, validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.AddConstraint(
            model_name='project',
            constraint=models.CheckConstraint(condition=models.Q(('streams_at_once__isnull', True), ('streams_at_once__gt', 0), _connector='OR'), name='project_streams_at_once_positive'),
        ),
        migrations.AddConstraint(
            model_name='project',
            constraint=models.CheckConstraint(condition=models.Q(('openings_a_minute__isnull', True), ('openings_a_minute__gt', 0), _connector='OR'), name='project_openings_a_minute_positive'),
        ),
        migrations.AddConstraint(
            model_name='project',
            constraint=models.CheckConstraint(condition=models.Q(('requests_a_second__isnull', True), ('requests_a_second__gt', 0), _connector='OR'), name='project_requests_a_second_positive'),
        ),
        migrations.AddConstraint(
            model_name='project',
            constraint=models.CheckConstraint(condition=models.Q(('audio_hours_a_day__isnull', True), ('audio_hours_a_day__gt', 0), _connector='OR'), name='project_audio_hours_a_day_positive'),
        ),
        migrations.AddConstraint(
            model_name='plan',
            constraint=models.CheckConstraint(condition=models.Q(('streams_at_once__isnull', True), ('streams_at_once__gt', 0), _connector='OR'), name='plan_streams_at_once_positive'),
        ),
        migrations.AddConstraint(
            model_name='plan',
            constraint=models.CheckConstraint(condition=models.Q(('openings_a_minute__isnull', True), ('openings_a_minute__gt', 0), _connector='OR'), name='plan_openings_a_minute_positive'),
        ),
        migrations.AddConstraint(
            model_name='plan',
            constraint=models.CheckConstraint(condition=models.Q(('requests_a_second__isnull', True), ('requests_a_second__gt', 0), _connector='OR'), name='plan_requests_a_second_positive'),
        ),
        migrations.AddConstraint(
            model_name='plan',
            constraint=models.CheckConstraint(condition=models.Q(('audio_hours_a_day__isnull', True), ('audio_hours_a_day__gt', 0), _connector='OR'), name='plan_audio_hours_a_day_positive'),
        ),
        migrations.RunSQL(DEFAULT_PLAN, migrations.RunSQL.noop),
        migrations.AddField(
            model_name='tenant',
            name='plan',
            field=models.ForeignKey(default=uuid.UUID('00000000-0000-4000-8000-000000000001'), on_delete=django.db.models.deletion.PROTECT, related_name='tenants', to='tenants.plan'),
        ),
        # Plans are ours: everybody reads them, staff write them.
        migrations.RunSQL(
            f"REVOKE INSERT, UPDATE, DELETE ON tenants_plan FROM {app_role()}", migrations.RunSQL.noop
        ),
        migrations.RunSQL(MARK_PLAN, before.UNMARK.format(table="tenants_plan")),
        *[marks_again(table) for table in MATTERS],
        *[function_again(signature) for signature in FUNCTIONS],
    ]
