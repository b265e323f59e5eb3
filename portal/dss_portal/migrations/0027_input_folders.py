from tortoise import migrations
from tortoise.migrations import operations as ops

# As keep_file in 0026, for input files.  Returns the folder of the ticket's input files, which the new row names, too;
# NULL if the file is refused.
_KEEP = """
CREATE OR REPLACE FUNCTION keep_input(number int, takes text[], of_name text, bytes bigint, reserved bigint,
    now_at timestamptz, alive_since timestamptz)
RETURNS text LANGUAGE plpgsql AS $body$
DECLARE kept ticket; held record; in_folder text;
BEGIN
    SELECT * INTO kept FROM ticket WHERE ticket.id = number FOR UPDATE;
    IF kept.id IS NULL OR NOT kept.status = ANY(takes) THEN
        RETURN NULL;
    END IF;
    PERFORM 1 FROM user_account WHERE user_account.id = kept.user_id AND NOT disabled FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT * INTO held FROM room_of_user(kept.user_id, number, 'input', of_name, reserved, alive_since, '');
    IF held.files >= held.max_files
        OR greatest(0, held.max_stored_bytes - held.stored_bytes - held.coming_bytes) < bytes THEN
        RETURN NULL;
    END IF;
    DELETE FROM upload WHERE id = reserved;
    UPDATE ticket SET uploaded_at = now_at WHERE id = number;
    SELECT coalesce(max(folder), '') INTO in_folder FROM ticket_file
        WHERE ticket_id = number AND area = 'input';
    PERFORM register_file(number, 'input', of_name, bytes, in_folder);
    RETURN in_folder;
END
$body$
"""


class Migration(migrations.Migration):
    dependencies = [('portal', '0026_disabled_users')]

    initial = False

    operations = [
        ops.RunSQL([_KEEP], reverse_sql=ops.RunSQL.noop),
    ]
