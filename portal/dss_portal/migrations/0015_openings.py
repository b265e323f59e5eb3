from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('portal', '0014_shown_results')]

    initial = False

    operations = [
        ops.CreateModel(
            name='Opening',
            fields=[
                ('sha256', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ('ticket', fields.ForeignKeyField('portal.Ticket', source_field='ticket_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('expires_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'opening', 'app': 'portal', 'indexes': [Index(fields=['ticket_id'])], 'pk_attr': 'sha256', 'table_description': "A link that ITK-SNAP opens the ticket's results from.  Only the SHA-256 of its capability is kept."},
            bases=['Model'],
        ),
    ]
