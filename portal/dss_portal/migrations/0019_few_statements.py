from tortoise import migrations
from tortoise.migrations import operations as ops

# What a request of a submission writes, in one statement each.  A function of plpgsql sees, in each of its statements,
# what was committed before that statement began, so it may lock first and then count.

_COUNTING = """
CREATE FUNCTION tickets_that_count(who int, alive_since timestamptz, but int)
RETURNS TABLE (id int, status varchar) LANGUAGE sql STABLE AS $body$
    SELECT ticket.id, ticket.status FROM ticket
    WHERE ticket.user_id = who AND ticket.id <> but
        AND (ticket.status IN ('ready', 'claimed')
            OR ticket.status = 'init' AND coalesce(ticket.uploaded_at, ticket.created_at) >= alive_since)
    ORDER BY ticket.id
$body$
"""

_NEW_TICKET = """
CREATE FUNCTION new_ticket(who int, for_service int, at timestamptz, alive_since timestamptz)
RETURNS int LANGUAGE plpgsql AS $body$
DECLARE most int; number int;
BEGIN
    SELECT tier.max_tickets INTO most FROM user_account JOIN tier ON tier.name = user_account.tier_id
        WHERE user_account.id = who FOR UPDATE OF user_account;
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

_HELD = """
CREATE FUNCTION room_of_user(who int, of_ticket int, of_area text, of_name text, but bigint, alive_since timestamptz,
    but_resumed text)
RETURNS TABLE (max_stored_bytes bigint, max_files int, younger bigint, stored_bytes bigint, coming_bytes bigint,
    files bigint) LANGUAGE sql STABLE AS $body$
WITH own AS (SELECT id FROM ticket WHERE user_id = who),
    file AS (
        SELECT count(*) AS files, coalesce(sum(size_bytes), 0) AS bytes
        FROM ticket_file WHERE ticket_id IN (SELECT id FROM own)),
    attached AS (
        SELECT coalesce(sum(size_bytes), 0) AS bytes
        FROM attachment WHERE ticket_id IN (SELECT id FROM own)),
    replaced AS (
        SELECT count(*) AS files, coalesce(sum(size_bytes), 0) AS bytes
        FROM ticket_file WHERE ticket_id = of_ticket AND area = of_area AND name = of_name),
    coming AS (
        SELECT count(*) AS files, coalesce(sum(reserved_bytes), 0) AS bytes,
            count(*) FILTER (WHERE id > but) AS younger
        FROM upload WHERE user_id = who AND id <> but AND heard_at > alive_since),
    resumed AS (
        SELECT count(*) AS files, coalesce(sum(length_bytes), 0) AS bytes
        FROM resumable_upload
        WHERE ticket_id IN (SELECT id FROM own) AND NOT finished AND id <> but_resumed)
SELECT tier.max_stored_bytes, tier.max_files, coming.younger,
    (file.bytes + attached.bytes - replaced.bytes)::bigint,
    (coming.bytes + resumed.bytes)::bigint,
    file.files - replaced.files + coming.files + resumed.files
FROM file, attached, replaced, coming, resumed,
    user_account JOIN tier ON tier.name = user_account.tier_id WHERE user_account.id = who
$body$
"""

# Nothing was promised to anybody when room is reserved, so that commit need not wait for the disk.
_RESERVE = """
CREATE FUNCTION reserve_upload(number int, of_area text, of_name text, least_bytes bigint, most_bytes bigint,
    now_at timestamptz, alive_since timestamptz, quiet_since timestamptz)
RETURNS TABLE (upload_id bigint, room_bytes bigint) LANGUAGE plpgsql AS $body$
DECLARE kept ticket; held record; room bigint;
BEGIN
    SELECT * INTO kept FROM ticket WHERE ticket.id = number FOR UPDATE;
    IF kept.id IS NULL
        OR (kept.status = 'init' AND coalesce(kept.uploaded_at, kept.created_at) < quiet_since) THEN
        RETURN;
    END IF;
    PERFORM 1 FROM user_account WHERE user_account.id = kept.user_id FOR UPDATE;
    SELECT * INTO held FROM room_of_user(kept.user_id, number, of_area, of_name, 0, alive_since, '');
    room := greatest(0, held.max_stored_bytes - held.stored_bytes - held.coming_bytes);
    IF held.files >= held.max_files OR room < least_bytes THEN
        RETURN;
    END IF;
    room_bytes := least(most_bytes, room);
    INSERT INTO upload (user_id, reserved_bytes, heard_at) VALUES (kept.user_id, room_bytes, now_at)
        RETURNING upload.id INTO upload_id;
    UPDATE ticket SET uploaded_at = now_at WHERE ticket.id = number;
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN NEXT;
END
$body$
"""

_REGISTER = """
CREATE FUNCTION register_file(number int, of_area text, of_name text, bytes bigint)
RETURNS void LANGUAGE sql AS $body$
INSERT INTO ticket_file (ticket_id, area, index, name, size_bytes)
SELECT number, of_area, coalesce(max(index) + 1, 0), of_name, bytes
FROM ticket_file WHERE ticket_id = number AND area = of_area
ON CONFLICT (ticket_id, area, name) DO UPDATE SET size_bytes = excluded.size_bytes
$body$
"""

_KEEP = """
CREATE FUNCTION keep_file(number int, takes text[], of_area text, of_name text, bytes bigint, reserved bigint,
    now_at timestamptz, alive_since timestamptz)
RETURNS boolean LANGUAGE plpgsql AS $body$
DECLARE kept ticket; held record;
BEGIN
    SELECT * INTO kept FROM ticket WHERE ticket.id = number FOR UPDATE;
    IF kept.id IS NULL OR NOT kept.status = ANY(takes) THEN
        RETURN false;
    END IF;
    PERFORM 1 FROM user_account WHERE user_account.id = kept.user_id FOR UPDATE;
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
    dependencies = [('portal', '0018_resumable_uploads')]

    initial = False

    operations = [
        ops.RunSQL(
            [_COUNTING, _NEW_TICKET, _HELD, _RESERVE, _REGISTER, _KEEP],
            reverse_sql=ops.RunSQL.noop,
        ),
    ]
