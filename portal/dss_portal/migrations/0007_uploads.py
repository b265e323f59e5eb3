from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('portal', '0006_outbox_tries')]

    initial = False

    operations = [
        ops.CreateModel(
            name='Upload',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('user', fields.ForeignKeyField('portal.User', source_field='user_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('reserved_bytes', fields.BigIntField()),
                ('heard_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'upload', 'app': 'portal', 'indexes': [Index(fields=['user_id'])], 'pk_attr': 'id', 'table_description': 'An upload under way: the room that is kept for it, so that parallel uploads add up.'},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='Ticket',
            name='uploaded_at',
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='Tier',
            name='max_files',
            field=fields.IntField(db_default=1000),
        ),
        ops.RunSQL(
            ["UPDATE tier SET max_files = least(max_tickets, 20000000) * 100"],
            reverse_sql=ops.RunSQL.noop,
        ),
    ]
