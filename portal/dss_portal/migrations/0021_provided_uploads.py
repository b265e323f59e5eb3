from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('portal', '0020_machine_sign_ins')]

    initial = False

    operations = [
        ops.AddField(
            model_name='ResumableUpload',
            name='area',
            field=fields.CharField(db_default='input', max_length=16),
        ),
        ops.AddField(
            model_name='ResumableUpload',
            name='claim_id',
            field=fields.CharField(db_default='', max_length=32),
        ),
        ops.AddField(
            model_name='ResumableUpload',
            name='description',
            field=fields.TextField(db_default='', unique=False),
        ),
        ops.AddField(
            model_name='ResumableUpload',
            name='mime_type',
            field=fields.TextField(db_default='', unique=False),
        ),
    ]
