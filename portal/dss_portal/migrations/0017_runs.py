from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('portal', '0016_notifications')]

    initial = False

    operations = [
        ops.CreateModel(
            name='Run',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('service', fields.TextField(unique=False)),
                ('device', fields.TextField(unique=False)),
                ('voxels', fields.BigIntField(null=True)),
                ('size_bytes', fields.BigIntField()),
                ('seconds', fields.FloatField()),
                ('ended_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'run', 'app': 'portal', 'indexes': [Index(fields=['service', 'id'])], 'pk_attr': 'id', 'table_description': 'What a ticket that succeeded has cost, for estimates.  It names no ticket and no user, and outlives both.'},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='Ticket',
            name='expected_at',
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='Ticket',
            name='voxels',
            field=fields.BigIntField(null=True),
        ),
    ]
