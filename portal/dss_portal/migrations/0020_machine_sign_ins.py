from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('portal', '0019_few_statements')]

    initial = False

    operations = [
        ops.CreateModel(
            name='MachineSignIn',
            fields=[
                ('sha256', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ('code', fields.CharField(unique=True, max_length=8)),
                ('machine', fields.TextField(unique=False)),
                ('scopes', fields.TextField(unique=False)),
                ('callback', fields.TextField(unique=False)),
                ('address', fields.TextField(unique=False)),
                ('expires_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('user', fields.ForeignKeyField('portal.User', source_field='user_id', null=True, db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('allowed', fields.BooleanField(null=True)),
                ('passed_on', fields.CharField(db_default='', max_length=64)),
            ],
            options={'table': 'machine_sign_in', 'app': 'portal', 'pk_attr': 'sha256', 'table_description': 'A command line that asks to be signed in.  Only SHA-256s of its secrets are kept.'},
            bases=['Model'],
        ),
    ]
