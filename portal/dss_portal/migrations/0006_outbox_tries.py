from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('portal', '0005_history_by_time')]

    initial = False

    operations = [
        ops.AddField(
            model_name='OutboxMessage',
            name='not_before',
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='OutboxMessage',
            name='reason',
            field=fields.TextField(null=True, unique=False),
        ),
        ops.AddField(
            model_name='OutboxMessage',
            name='set_aside_at',
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='OutboxMessage',
            name='ticket_id',
            field=fields.IntField(null=True),
        ),
        ops.AddField(
            model_name='OutboxMessage',
            name='tries',
            field=fields.IntField(db_default=0),
        ),
    ]
