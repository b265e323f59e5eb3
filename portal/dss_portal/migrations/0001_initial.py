from tortoise import migrations
from tortoise.migrations import operations as ops
import functools
from dss_portal.models import Status
from json import dumps, loads
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name='OutboxMessage',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('message_id', fields.CharField(max_length=32)),
                ('type_name', fields.CharField(max_length=64)),
                ('body', fields.BinaryField()),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={'table': 'outbox', 'app': 'portal', 'pk_attr': 'id', 'table_description': 'A message that belongs to a committed change and is not yet with the broker.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Provider',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('name', fields.CharField(unique=True, max_length=78)),
                ('current', fields.BooleanField(db_default=True)),
            ],
            options={'table': 'provider', 'app': 'portal', 'pk_attr': 'id'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Service',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('githash', fields.CharField(unique=True, max_length=40)),
                ('name', fields.TextField(unique=False)),
                ('version', fields.TextField(unique=False)),
                ('shortdesc', fields.TextField(unique=False)),
                ('descriptor', fields.JSONField(encoder=functools.partial(dumps, separators=(',', ':')), decoder=loads)),
                ('current', fields.BooleanField(db_default=True)),
                ('heard_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'service', 'app': 'portal', 'pk_attr': 'id', 'table_description': 'One version of a service, known to clients by a hash of 40 hexadecimal digits.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='ProviderService',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('provider', fields.ForeignKeyField('portal.Provider', source_field='provider_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('service', fields.ForeignKeyField('portal.Service', source_field='service_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('current', fields.BooleanField(db_default=True)),
            ],
            options={'table': 'provider_service', 'app': 'portal', 'unique_together': (('provider', 'service'),), 'pk_attr': 'id', 'table_description': 'A provider that works for a service.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Tier',
            fields=[
                ('name', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ('max_tickets', fields.IntField()),
                ('max_stored_bytes', fields.BigIntField()),
            ],
            options={'table': 'tier', 'app': 'portal', 'pk_attr': 'name', 'table_description': 'A class of users and what they may use.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='User',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('email', fields.CharField(unique=True, max_length=320)),
                ('display_name', fields.TextField(db_default='', unique=False)),
                ('sysadmin', fields.BooleanField(db_default=False)),
                ('disabled', fields.BooleanField(db_default=False)),
                ('tier', fields.ForeignKeyField('portal.Tier', source_field='tier_id', db_constraint=True, to_field='name', on_delete=OnDelete.CASCADE)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={'table': 'user_account', 'app': 'portal', 'pk_attr': 'id'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='ApiToken',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('sha256', fields.CharField(unique=True, max_length=64)),
                ('user', fields.ForeignKeyField('portal.User', source_field='user_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('name', fields.TextField(unique=False)),
                ('scopes', fields.TextField(unique=False)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('expires_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('revoked_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'api_token', 'app': 'portal', 'pk_attr': 'id', 'table_description': 'A long-lived token for programs.  Only its SHA-256 is kept.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='LoginToken',
            fields=[
                ('sha256', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ('user', fields.ForeignKeyField('portal.User', source_field='user_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('expires_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('used_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'login_token', 'app': 'portal', 'pk_attr': 'sha256', 'table_description': 'A token for one sign-in.  Only its SHA-256 is kept.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='ProviderAccess',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('provider', fields.ForeignKeyField('portal.Provider', source_field='provider_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('user', fields.ForeignKeyField('portal.User', source_field='user_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('admin', fields.BooleanField(db_default=False)),
            ],
            options={'table': 'provider_access', 'app': 'portal', 'unique_together': (('provider', 'user'),), 'pk_attr': 'id', 'table_description': 'A user who may claim for a provider; ``admin`` may also manage its users and services.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Session',
            fields=[
                ('sha256', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ('user', fields.ForeignKeyField('portal.User', source_field='user_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('terms_accepted', fields.BooleanField(db_default=False)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('revoked_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'session', 'app': 'portal', 'pk_attr': 'sha256', 'table_description': 'A signed-in client.  Only the SHA-256 of the id in its cookie is kept.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Ticket',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('user', fields.ForeignKeyField('portal.User', source_field='user_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('service', fields.ForeignKeyField('portal.Service', source_field='service_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('status', fields.CharEnumField(description='INIT: init\nREADY: ready\nCLAIMED: claimed\nSUCCESS: success\nFAILED: failed\nTIMEOUT: timeout\nDELETED: deleted', enum_type=Status, max_length=32)),
                ('attempt', fields.IntField(db_default=1)),
                ('claim_id', fields.CharField(null=True, max_length=32)),
                ('announced_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={'table': 'ticket', 'app': 'portal', 'indexes': [Index(fields=['user_id']), Index(fields=['service_id', 'status']), Index(fields=['status'])], 'pk_attr': 'id'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Claim',
            fields=[
                ('id', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ('ticket', fields.ForeignKeyField('portal.Ticket', source_field='ticket_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('provider', fields.TextField(unique=False)),
                ('instance', fields.TextField(unique=False)),
                ('user', fields.ForeignKeyField('portal.User', source_field='user_id', null=True, db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('delivery_id', fields.TextField(null=True, unique=False)),
                ('granted_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('lease_s', fields.FloatField()),
                ('expires_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'claim', 'app': 'portal', 'indexes': [Index(fields=['ticket_id'])], 'pk_attr': 'id', 'table_description': "One hold of one worker on one ticket.  The ticket's ``claim_id`` names the current one."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='TicketFile',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('ticket', fields.ForeignKeyField('portal.Ticket', source_field='ticket_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('area', fields.CharField(max_length=16)),
                ('index', fields.IntField()),
                ('name', fields.CharField(max_length=255)),
                ('size_bytes', fields.BigIntField()),
            ],
            options={'table': 'ticket_file', 'app': 'portal', 'unique_together': (('ticket', 'area', 'index'), ('ticket', 'area', 'name')), 'pk_attr': 'id', 'table_description': 'A file that a client may fetch.  ``index`` is the order of first upload and never changes.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='TicketHistory',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('ticket', fields.ForeignKeyField('portal.Ticket', source_field='ticket_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('status', fields.CharEnumField(description='INIT: init\nREADY: ready\nCLAIMED: claimed\nSUCCESS: success\nFAILED: failed\nTIMEOUT: timeout\nDELETED: deleted', enum_type=Status, max_length=32)),
                ('at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={'table': 'ticket_history', 'app': 'portal', 'indexes': [Index(fields=['ticket_id'])], 'pk_attr': 'id'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='TicketLog',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('ticket', fields.ForeignKeyField('portal.Ticket', source_field='ticket_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('category', fields.CharField(max_length=16)),
                ('message', fields.TextField(unique=False)),
                ('message_id', fields.CharField(null=True, unique=True, max_length=64)),
            ],
            options={'table': 'ticket_log', 'app': 'portal', 'indexes': [Index(fields=['ticket_id'])], 'pk_attr': 'id', 'table_description': '``message_id`` is that of the event it came with, so that an event told twice is logged once.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Attachment',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('ticket', fields.ForeignKeyField('portal.Ticket', source_field='ticket_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('log', fields.ForeignKeyField('portal.TicketLog', source_field='log_id', null=True, db_constraint=True, to_field='id', related_name='attachments', on_delete=OnDelete.CASCADE)),
                ('public_id', fields.CharField(unique=True, max_length=32)),
                ('description', fields.TextField(unique=False)),
                ('mime_type', fields.TextField(unique=False)),
                ('file_name', fields.CharField(max_length=255)),
                ('size_bytes', fields.BigIntField()),
            ],
            options={'table': 'attachment', 'app': 'portal', 'indexes': [Index(fields=['ticket_id'])], 'pk_attr': 'id', 'table_description': 'A file that a provider attached to a log line.  Who knows ``public_id`` may read it.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='TicketProgress',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('ticket', fields.ForeignKeyField('portal.Ticket', source_field='ticket_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('chunk_start', fields.FloatField()),
                ('chunk_end', fields.FloatField()),
                ('progress', fields.FloatField()),
            ],
            options={'table': 'ticket_progress', 'app': 'portal', 'unique_together': (('ticket', 'chunk_start', 'chunk_end'),), 'pk_attr': 'id'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Worker',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('bundle', fields.CharField(max_length=255)),
                ('instance', fields.CharField(max_length=255)),
                ('device', fields.TextField(unique=False)),
                ('heard_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'worker', 'app': 'portal', 'unique_together': (('bundle', 'instance'),), 'pk_attr': 'id', 'table_description': 'An inference worker that said where it runs.'},
            bases=['Model'],
        ),
    ]
