from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('portal', '0021_provided_uploads')]

    initial = False

    operations = [
        ops.AddField(
            model_name='Claim',
            name='silence_s',
            field=fields.FloatField(db_default=0),
        ),
    ]
