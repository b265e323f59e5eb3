from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('portal', '0015_openings')]

    initial = False

    operations = [
        ops.CreateModel(
            name='NotificationChannel',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('user', fields.ForeignKeyField('portal.User', source_field='user_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('kind', fields.CharField(max_length=16)),
                ('address', fields.TextField(unique=False)),
                ('secret', fields.TextField(db_default='', unique=False)),
                ('told_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'notification_channel', 'app': 'portal', 'unique_together': (('user', 'kind'),), 'pk_attr': 'id', 'table_description': "A way to tell a user that a ticket has ended.  ``secret`` signs a webhook, or is ntfy's access token."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Notification',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('channel', fields.ForeignKeyField('portal.NotificationChannel', source_field='channel_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('key', fields.CharField(max_length=32)),
                ('ticket_id', fields.IntField(null=True)),
                ('service', fields.TextField(db_default='', unique=False)),
                ('outcome', fields.CharField(db_default='', max_length=32)),
                ('ended_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('tries', fields.IntField(db_default=0)),
                ('not_before', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('taken_until', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('taken_by', fields.CharField(null=True, max_length=32)),
                ('set_aside_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('reason', fields.TextField(null=True, unique=False)),
            ],
            options={'table': 'notification', 'app': 'portal', 'indexes': [Index(fields=['channel_id'])], 'pk_attr': 'id', 'table_description': 'A message for a channel that waits, is being sent until ``taken_until``, or was set aside with its ``reason``.'},
            bases=['Model'],
        ),
    ]
