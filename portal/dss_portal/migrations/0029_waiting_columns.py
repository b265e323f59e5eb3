from tortoise import migrations
from tortoise.migrations import operations as ops

# As in 0013, with the two columns of its expression: without them, PostgreSQL would read each counted ticket's row.
# See dss_portal/tickets/queue_places.py.
_WAITING = """
CREATE INDEX ticket_waiting ON ticket
    (service_id, user_id, (coalesce(queued_at, created_at)), id) INCLUDE (queued_at, created_at)
    WHERE status = 'ready'
"""


class Migration(migrations.Migration):
    dependencies = [('portal', '0028_places_of_dispatchers')]

    initial = False

    operations = [
        ops.RunSQL(["DROP INDEX ticket_waiting", _WAITING], reverse_sql=ops.RunSQL.noop),
    ]
