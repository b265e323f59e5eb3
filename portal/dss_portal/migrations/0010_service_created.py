from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('portal', '0009_one_account_for_an_address')]

    initial = False

    operations = [
        ops.AddField(
            model_name='Service',
            name='created_at',
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=True),
        ),
        ops.RunSQL(
            ["UPDATE service SET created_at = coalesce(heard_at, now())"],
            reverse_sql=ops.RunSQL.noop,
        ),
    ]
