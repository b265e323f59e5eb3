from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('portal', '0004_claim_order_and_ticket_trace')]

    initial = False

    operations = [
        ops.AddIndex(
            model_name='TicketHistory',
            index=Index(fields=['at']),
        ),
    ]
