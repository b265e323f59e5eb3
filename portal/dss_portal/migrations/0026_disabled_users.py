from tortoise import migrations
from tortoise.migrations import operations as ops

# As in 0019, but nothing is written for a disabled user; the caller finds the reason in its longer way.

_NEW_TICKET = """
CREATE OR REPLACE FUNCTION new_ticket(who int, for_service int, at timestamptz, alive_since timestamptz)
RETURNS int LANGUAGE plpgsql AS $body$
DECLARE most int; number int;
BEGIN
    SELECT tier.max_tickets INTO most FROM user_account JOIN tier ON tier.name = user_account.tier_id
        WHERE user_account.id = who AND NOT disabled FOR UPDATE OF user_account;
    IF most IS NULL OR (SELECT count(*) FROM tickets_that_count(who, alive_since, 0)) >= most THEN
        RETURN NULL;
    END IF;
    INSERT INTO ticket (user_id, service_id, status, created_at) VALUES (who, for_service, 'init', at)
        RETURNING id INTO number;
    INSERT INTO ticket_history (ticket_id, status, at) VALUES (number, 'init', at);
    RETURN number;
END
$body$
"""

_KEEP = """
CREATE OR REPLACE FUNCTION keep_file(number int, takes text[], of_area text, of_name text, bytes bigint, reserved bigint,
    now_at timestamptz, alive_since timestamptz)
RETURNS boolean LANGUAGE plpgsql AS $body$
DECLARE kept ticket; held record;
BEGIN
    SELECT * INTO kept FROM ticket WHERE ticket.id = number FOR UPDATE;
    IF kept.id IS NULL OR NOT kept.status = ANY(takes) THEN
        RETURN false;
    END IF;
    PERFORM 1 FROM user_account WHERE user_account.id = kept.user_id AND NOT disabled FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT * INTO held FROM room_of_user(kept.user_id, number, of_area, of_name, reserved, alive_since, '');
    IF held.files >= held.max_files
        OR greatest(0, held.max_stored_bytes - held.stored_bytes - held.coming_bytes) < bytes THEN
        RETURN false;
    END IF;
    DELETE FROM upload WHERE id = reserved;
    UPDATE ticket SET uploaded_at = now_at WHERE id = number;
    PERFORM register_file(number, of_area, of_name, bytes);
    RETURN true;
END
$body$
"""


class Migration(migrations.Migration):
    dependencies = [('portal', '0025_places_of_files')]

    initial = False

    operations = [
        ops.RunSQL([_NEW_TICKET, _KEEP], reverse_sql=ops.RunSQL.noop),
    ]
