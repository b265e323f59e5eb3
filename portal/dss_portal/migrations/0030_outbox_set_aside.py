from tortoise import migrations
from tortoise.migrations import operations as ops

# For the announcements that are deleted when a later one of the ticket succeeds: see dss_portal/outbox/relay.py.  Rows
# enter the index when they are set aside, so storing a message costs nothing more.
_SET_ASIDE = "CREATE INDEX outbox_set_aside ON outbox (ticket_id) WHERE set_aside_at IS NOT NULL"


class Migration(migrations.Migration):
    dependencies = [('portal', '0029_waiting_columns')]

    initial = False

    operations = [
        ops.RunSQL([_SET_ASIDE], reverse_sql=ops.RunSQL.noop),
    ]
