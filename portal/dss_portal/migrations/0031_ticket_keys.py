from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from tortoise import fields

# Every statement of the function sees what was committed before it began, so a second request with the same key, which
# waits for the lock of its user, sees the first one's row.

_NEW_KEYED_TICKET = """
CREATE FUNCTION new_keyed_ticket(who int, for_service int, at timestamptz, alive_since timestamptz, of_key text,
    of_sha256 text)
RETURNS TABLE (id int, is_same boolean) LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM 1 FROM user_account WHERE user_account.id = who AND NOT disabled FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT known.ticket_id, known.sha256 = of_sha256 INTO id, is_same FROM ticket_key known
        WHERE known.user_id = who AND known.key = of_key;
    IF FOUND THEN
        RETURN NEXT;
        RETURN;
    END IF;
    id := CASE WHEN for_service IS NOT NULL THEN new_ticket(who, for_service, at, alive_since) END;
    IF id IS NULL THEN
        RETURN;
    END IF;
    is_same := true;
    INSERT INTO ticket_key (user_id, key, sha256, ticket_id, created_at) VALUES (who, of_key, of_sha256, id, at);
    RETURN NEXT;
END
$body$
"""


class Migration(migrations.Migration):
    dependencies = [('portal', '0030_outbox_set_aside')]

    initial = False

    operations = [
        ops.CreateModel(
            name='TicketKey',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('user', fields.ForeignKeyField('portal.User', source_field='user_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('key', fields.CharField(max_length=255)),
                ('sha256', fields.CharField(max_length=64)),
                ('ticket', fields.ForeignKeyField('portal.Ticket', source_field='ticket_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'ticket_key', 'app': 'portal', 'unique_together': (('user', 'key'),), 'pk_attr': 'id', 'table_description': 'The idempotency key with which a user has created a ticket.'},
            bases=['Model'],
        ),
        ops.RunSQL([_NEW_KEYED_TICKET], reverse_sql=ops.RunSQL.noop),
    ]
