from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

# The page of a ticket shows how far its upload is.
_SHOWN = """
CREATE TRIGGER note_intake AFTER INSERT OR UPDATE OR DELETE ON intake FOR EACH ROW
EXECUTE FUNCTION note_change_of_ticket_id('ticket')
"""


class Migration(migrations.Migration):
    dependencies = [('portal', '0022_silences')]

    initial = False

    operations = [
        ops.CreateModel(
            name='BatchItem',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('user', fields.ForeignKeyField('portal.User', source_field='user_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('key', fields.CharField(max_length=64)),
                ('name', fields.TextField(unique=False)),
                ('service', fields.TextField(unique=False)),
                ('size_bytes', fields.BigIntField()),
                ('files', fields.IntField()),
                ('ticket', fields.ForeignKeyField('portal.Ticket', source_field='ticket_id', null=True, db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={'table': 'batch_item', 'app': 'portal', 'unique_together': (('user', 'key'),), 'pk_attr': 'id', 'table_description': 'A case that a user sends from the browser, also while its page is closed.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Intake',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('ticket', fields.ForeignKeyField('portal.Ticket', source_field='ticket_id', unique=True, db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('attempt_id', fields.CharField(max_length=32)),
                ('state', fields.CharField(max_length=16)),
                ('request', fields.TextField(unique=False)),
                ('asked_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('reason', fields.TextField(db_default='', unique=False)),
                ('series', fields.TextField(db_default='[]', unique=False)),
                ('images', fields.TextField(db_default='[]', unique=False)),
            ],
            options={'table': 'intake', 'app': 'portal', 'indexes': [Index(fields=['state'])], 'pk_attr': 'id', 'table_description': 'What a browser uploads for a ticket, and how far another program has read it.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='UploadReaderProgram',
            fields=[
                ('instance', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=255)),
                ('heard_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('ended', fields.BooleanField(db_default=False)),
            ],
            options={'table': 'upload_reader', 'app': 'portal', 'pk_attr': 'instance', 'table_description': 'A program that said that it reads uploads of browsers.'},
            bases=['Model'],
        ),
        ops.RunSQL(_SHOWN, reverse_sql=ops.RunSQL.noop),
    ]
