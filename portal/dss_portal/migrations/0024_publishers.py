from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('portal', '0023_uploads_read')]

    initial = False

    operations = [
        ops.CreateModel(
            name='Publisher',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('user', fields.ForeignKeyField('portal.User', source_field='user_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('service', fields.TextField(unique=False)),
                ('instance', fields.CharField(max_length=255)),
                ('parallel', fields.IntField()),
                ('heard_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('ended', fields.BooleanField(db_default=False)),
            ],
            options={'table': 'publisher', 'app': 'portal', 'unique_together': (('user', 'service', 'instance'),), 'pk_attr': 'id', 'table_description': "A provider's program that said over HTTP that it serves a service; ``ended``: and that it takes nothing any more."},
            bases=['Model'],
        ),
    ]
