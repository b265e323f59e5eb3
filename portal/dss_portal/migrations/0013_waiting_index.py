from tortoise import migrations
from tortoise.migrations import operations as ops

# Each user's first waiting ticket of a service: see dss_portal/tickets/queue.py.
_WAITING = """
CREATE INDEX ticket_waiting ON ticket
    (service_id, user_id, (coalesce(queued_at, created_at)), id) WHERE status = 'ready'
"""


class Migration(migrations.Migration):
    dependencies = [('portal', '0012_changes')]

    initial = False

    operations = [
        ops.RunSQL([_WAITING], reverse_sql=ops.RunSQL.noop),
    ]
