from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [('portal', '0031_ticket_keys')]

    initial = False

    operations = [
        ops.AddField(
            model_name='Publisher',
            name='versions',
            field=fields.TextField(unique=False, db_default=''),
        ),
    ]
