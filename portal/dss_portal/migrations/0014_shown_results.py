from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from tortoise import fields

_DUE = "CREATE INDEX ticket_delete_at ON ticket (delete_at) WHERE delete_at IS NOT NULL"

# For the feed of changes: see 0012.
_NOTE = """
CREATE TRIGGER note_own_ticket AFTER UPDATE ON ticket FOR EACH ROW
WHEN ((OLD.title, OLD.delete_at) IS DISTINCT FROM (NEW.title, NEW.delete_at))
EXECUTE FUNCTION note_change_of_id('ticket')
"""


class Migration(migrations.Migration):
    dependencies = [('portal', '0013_waiting_index')]

    initial = False

    operations = [
        ops.CreateModel(
            name='TicketLabel',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('ticket', fields.ForeignKeyField('portal.Ticket', source_field='ticket_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('value', fields.IntField()),
                ('name', fields.TextField(unique=False)),
                ('colour', fields.CharField(max_length=7)),
                ('volume_ml', fields.FloatField()),
            ],
            options={'table': 'ticket_label', 'app': 'portal', 'unique_together': (('ticket', 'value'),), 'pk_attr': 'id', 'table_description': "A label of the segmentation that the ticket's results hold; ``colour`` is ``#rrggbb``."},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='Ticket',
            name='delete_at',
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='Ticket',
            name='title',
            field=fields.TextField(db_default='', unique=False),
        ),
        ops.AddField(
            model_name='Ticket',
            name='verdict',
            field=fields.CharField(db_default='', max_length=32),
        ),
        ops.RunSQL([_DUE, _NOTE], reverse_sql=ops.RunSQL.noop),
    ]
