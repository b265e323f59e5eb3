from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('portal', '0001_initial')]

    initial = False

    operations = [
        ops.CreateModel(
            name='Turn',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('service', fields.TextField(unique=False)),
                ('user', fields.ForeignKeyField('portal.User', source_field='user_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'turn', 'app': 'portal', 'unique_together': (('user', 'service'),), 'pk_attr': 'id', 'table_description': 'When a ticket of this user was last given out to a service, whichever version of it.'},
            bases=['Model'],
        ),
        ops.AddIndex(
            model_name='Claim',
            index=Index(fields=['delivery_id']),
        ),
        ops.AlterModelOptions(
            name='Ticket',
            options={'table': 'ticket', 'app': 'portal', 'indexes': [Index(fields=['user_id']), Index(fields=['service_id', 'status']), Index(fields=['status'])], 'pk_attr': 'id', 'table_description': '``queued_at`` begins its wait, ``claimed_at`` its present attempt; a lost attempt keeps the former.'},
        ),
        ops.AddField(
            model_name='Ticket',
            name='announcements',
            field=fields.IntField(db_default=0),
        ),
        ops.AddField(
            model_name='Ticket',
            name='claimed_at',
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='Ticket',
            name='queued_at',
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='Tier',
            name='priority_minutes',
            field=fields.IntField(db_default=0),
        ),
        ops.RunSQL(
            [
                # What waits or is worked on during the upgrade has begun with its last change.
                "UPDATE ticket SET queued_at = (SELECT max(at) FROM ticket_history h "
                "WHERE h.ticket_id = ticket.id AND h.status = 'ready') "
                "WHERE status IN ('ready', 'claimed')",
                "UPDATE ticket SET claimed_at = (SELECT max(at) FROM ticket_history h "
                "WHERE h.ticket_id = ticket.id AND h.status = 'claimed') WHERE status = 'claimed'",
            ],
            reverse_sql=ops.RunSQL.noop,
        ),
    ]
