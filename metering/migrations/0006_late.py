from django.db import migrations

# Few rows: what came more than a day after it was processed, by which reconciliation finds days that have
# changed. The condition is that of its query.
TABLES = ["usageevent", "inferencerecord"]


def late(table):
    return migrations.RunSQL(
        f"CREATE INDEX {table}_late ON metering_{table} (processed_at) "
        "WHERE recorded_at - processed_at > interval '1 day'",
        f"DROP INDEX {table}_late",
    )


class Migration(migrations.Migration):

    dependencies = [
        ('metering', '0005_rated'),
    ]

    operations = [late(table) for table in TABLES]
