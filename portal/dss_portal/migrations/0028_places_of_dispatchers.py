from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('portal', '0027_input_folders')]

    initial = False

    operations = [
        ops.AddField(
            model_name='Dispatcher',
            name='parallel',
            field=fields.IntField(db_default=0),
        ),
    ]
