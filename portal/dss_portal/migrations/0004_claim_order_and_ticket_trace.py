from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('portal', '0003_outbox_trace')]

    initial = False

    operations = [
        ops.AddField(
            model_name='Claim',
            name='deliveries',
            field=fields.IntField(db_default=1),
        ),
        ops.AddField(
            model_name='Ticket',
            name='traceparent',
            field=fields.CharField(null=True, max_length=55),
        ),
    ]
