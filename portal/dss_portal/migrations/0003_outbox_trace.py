from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('portal', '0002_queue')]

    initial = False

    operations = [
        ops.AddField(
            model_name='OutboxMessage',
            name='traceparent',
            field=fields.CharField(null=True, max_length=55),
        ),
    ]
