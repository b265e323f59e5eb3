from tortoise import migrations
from tortoise.migrations import operations as ops

# What is kept instead of counted: see dss_portal/tallies.py.  Triggers only insert rows, so that no transaction waits for
# another one; the sum of the rows of a key is its value.
_TABLES = (
    "CREATE TABLE ticket_tally (service_id int NOT NULL, status varchar(32) NOT NULL, tickets bigint NOT NULL)",
    "CREATE TABLE stored_tally (user_id int NOT NULL, bytes bigint NOT NULL, files bigint NOT NULL)",
    "CREATE INDEX stored_tally_of_user ON stored_tally (user_id)",
    "CREATE INDEX resumable_upload_unfinished ON resumable_upload (ticket_id) WHERE NOT finished",
)

_STORED_OF_TICKET = """
CREATE FUNCTION stored_of_ticket(number int) RETURNS TABLE (bytes bigint, files bigint) LANGUAGE sql STABLE AS $body$
SELECT (
        coalesce((SELECT sum(size_bytes) FROM ticket_file WHERE ticket_id = number), 0)
        + coalesce((SELECT sum(size_bytes) FROM attachment WHERE ticket_id = number), 0))::bigint,
    (SELECT count(*) FROM ticket_file WHERE ticket_id = number)
$body$
"""

_TALLY_TICKET = """
CREATE FUNCTION tally_ticket() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO ticket_tally VALUES (NEW.service_id, NEW.status, 1);
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO ticket_tally VALUES (OLD.service_id, OLD.status, -1);
        INSERT INTO stored_tally SELECT OLD.user_id, -bytes, -files FROM stored_of_ticket(OLD.id);
        RETURN OLD;
    ELSE
        INSERT INTO ticket_tally VALUES (OLD.service_id, OLD.status, -1), (NEW.service_id, NEW.status, 1);
    END IF;
    RETURN NULL;
END
$body$
"""

_MOVE_STORED = """
CREATE FUNCTION move_stored() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    INSERT INTO stored_tally SELECT OLD.user_id, -bytes, -files FROM stored_of_ticket(NEW.id);
    INSERT INTO stored_tally SELECT NEW.user_id, bytes, files FROM stored_of_ticket(NEW.id);
    RETURN NULL;
END
$body$
"""

# The argument is 1 for a table whose rows count as files.  A ticket that was deleted has left the tally with its files.
_TALLY_STORED = """
CREATE FUNCTION tally_stored() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO stored_tally
            SELECT user_id, -OLD.size_bytes, -TG_ARGV[0]::int FROM ticket WHERE id = OLD.ticket_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO stored_tally
            SELECT user_id, NEW.size_bytes, TG_ARGV[0]::int FROM ticket WHERE id = NEW.ticket_id;
    END IF;
    RETURN NULL;
END
$body$
"""

_OTHER_COUNT = "WHEN ((OLD.service_id, OLD.status) IS DISTINCT FROM (NEW.service_id, NEW.status))"
_OTHER_SIZE = "WHEN ((OLD.ticket_id, OLD.size_bytes) IS DISTINCT FROM (NEW.ticket_id, NEW.size_bytes))"


def _trigger(name: str, event: str, table: str, act: str, when: str = "") -> str:
    return f"CREATE TRIGGER {name} {event} ON {table} FOR EACH ROW {when} EXECUTE FUNCTION {act}"


# CREATE TRIGGER keeps other transactions from writing to the table until this one, which also fills the tallies, is over.
_TRIGGERS = (
    _trigger("tally_new", "AFTER INSERT", "ticket", "tally_ticket()"),
    _trigger("tally_gone", "BEFORE DELETE", "ticket", "tally_ticket()"),
    _trigger("tally_changed", "AFTER UPDATE", "ticket", "tally_ticket()", _OTHER_COUNT),
    _trigger("tally_owner", "AFTER UPDATE", "ticket", "move_stored()", "WHEN (OLD.user_id <> NEW.user_id)"),
    _trigger("tally_file", "AFTER INSERT OR DELETE", "ticket_file", "tally_stored(1)"),
    _trigger("tally_other_file", "AFTER UPDATE", "ticket_file", "tally_stored(1)", _OTHER_SIZE),
    _trigger("tally_attached", "AFTER INSERT OR DELETE", "attachment", "tally_stored(0)"),
    _trigger("tally_other_attached", "AFTER UPDATE", "attachment", "tally_stored(0)", _OTHER_SIZE),
)

_FILL = (
    "INSERT INTO ticket_tally SELECT service_id, status, count(*) FROM ticket GROUP BY service_id, status",
    """
    INSERT INTO stored_tally SELECT ticket.user_id, sum(held.bytes)::bigint, sum(held.files)::bigint FROM (
        SELECT ticket_id, size_bytes AS bytes, 1 AS files FROM ticket_file
        UNION ALL SELECT ticket_id, size_bytes, 0 FROM attachment) AS held
    JOIN ticket ON ticket.id = held.ticket_id GROUP BY ticket.user_id
    """,
)

# One row for each key with many rows.  A row that another transaction deletes meanwhile is not in what is folded.
_FOLD = """
CREATE FUNCTION fold_tallies(most int) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('fold_tallies')) THEN
        RETURN;
    END IF;
    WITH gone AS (
        DELETE FROM ticket_tally WHERE (service_id, status) IN (
            SELECT service_id, status FROM ticket_tally GROUP BY service_id, status HAVING count(*) > most)
        RETURNING service_id, status, tickets)
    INSERT INTO ticket_tally SELECT service_id, status, sum(tickets)::bigint FROM gone GROUP BY service_id, status;
    WITH gone AS (
        DELETE FROM stored_tally WHERE user_id IN (
            SELECT user_id FROM stored_tally GROUP BY user_id HAVING count(*) > most)
        RETURNING user_id, bytes, files)
    INSERT INTO stored_tally SELECT user_id, sum(bytes)::bigint, sum(files)::bigint FROM gone GROUP BY user_id;
END
$body$
"""

# As in 0019, with the bytes and files of the user's tickets from the tally.
_ROOM = """
CREATE OR REPLACE FUNCTION room_of_user(who int, of_ticket int, of_area text, of_name text, but bigint,
    alive_since timestamptz, but_resumed text)
RETURNS TABLE (max_stored_bytes bigint, max_files int, younger bigint, stored_bytes bigint, coming_bytes bigint,
    files bigint) LANGUAGE sql STABLE AS $body$
WITH kept AS (
        SELECT coalesce(sum(files), 0) AS files, coalesce(sum(bytes), 0) AS bytes
        FROM stored_tally WHERE user_id = who),
    replaced AS (
        SELECT count(*) AS files, coalesce(sum(size_bytes), 0) AS bytes
        FROM ticket_file WHERE ticket_id = of_ticket AND area = of_area AND name = of_name),
    coming AS (
        SELECT count(*) AS files, coalesce(sum(reserved_bytes), 0) AS bytes,
            count(*) FILTER (WHERE id > but) AS younger
        FROM upload WHERE user_id = who AND id <> but AND heard_at > alive_since),
    resumed AS (
        SELECT count(*) AS files, coalesce(sum(length_bytes), 0) AS bytes
        FROM resumable_upload JOIN ticket ON ticket.id = resumable_upload.ticket_id
        WHERE ticket.user_id = who AND NOT finished AND resumable_upload.id <> but_resumed)
SELECT tier.max_stored_bytes, tier.max_files, coming.younger,
    (kept.bytes - replaced.bytes)::bigint,
    (coming.bytes + resumed.bytes)::bigint,
    (kept.files - replaced.files + coming.files + resumed.files)::bigint
FROM kept, replaced, coming, resumed,
    user_account JOIN tier ON tier.name = user_account.tier_id WHERE user_account.id = who
$body$
"""


class Migration(migrations.Migration):
    dependencies = [('portal', '0032_publisher_versions')]

    initial = False

    operations = [
        ops.RunSQL(
            [
                *_TABLES,
                *(_STORED_OF_TICKET, _TALLY_TICKET, _MOVE_STORED, _TALLY_STORED),
                *_TRIGGERS,
                *_FILL,
                *(_FOLD, _ROOM),
            ],
            reverse_sql=ops.RunSQL.noop,
        ),
    ]
