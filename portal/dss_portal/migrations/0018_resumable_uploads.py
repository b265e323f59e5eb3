from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('portal', '0017_runs')]

    initial = False

    operations = [
        ops.CreateModel(
            name='ResumableUpload',
            fields=[
                ('id', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ('ticket', fields.ForeignKeyField('portal.Ticket', source_field='ticket_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('name', fields.CharField(max_length=255)),
                ('length_bytes', fields.BigIntField()),
                ('received_bytes', fields.BigIntField(db_default=0)),
                ('holder', fields.CharField(db_default='', max_length=32)),
                ('heard_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('sha256', fields.CharField(db_default='', max_length=64)),
                ('finished', fields.BooleanField(db_default=False)),
            ],
            options={'table': 'resumable_upload', 'app': 'portal', 'indexes': [Index(fields=['ticket_id'])], 'pk_attr': 'id', 'table_description': 'A file of a ticket that comes by the tus protocol, over any number of connections.'},
            bases=['Model'],
        ),
    ]
