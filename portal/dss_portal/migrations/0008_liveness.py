from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('portal', '0007_uploads')]

    initial = False

    operations = [
        ops.CreateModel(
            name='Dispatcher',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('service', fields.TextField(unique=False)),
                ('instance', fields.CharField(max_length=255)),
                ('bundle', fields.CharField(max_length=255)),
                ('heard_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('ended', fields.BooleanField(db_default=False)),
            ],
            options={'table': 'dispatcher', 'app': 'portal', 'unique_together': (('service', 'instance'),), 'pk_attr': 'id', 'table_description': 'A dispatcher that said which service it takes tickets of, and whose workers it asks ("": none of ours).'},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='Service',
            name='polled_at',
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='Ticket',
            name='missed',
            field=fields.CharField(db_default='', max_length=16),
        ),
        ops.AlterModelOptions(
            name='Worker',
            options={'table': 'worker', 'app': 'portal', 'unique_together': (('bundle', 'instance'),), 'pk_attr': 'id', 'table_description': 'An inference worker that said where it runs; ``ended``: and that it takes nothing any more.'},
        ),
        ops.AddField(
            model_name='Worker',
            name='ended',
            field=fields.BooleanField(db_default=False),
        ),
    ]
