from tortoise import migrations
from tortoise.migrations import operations as ops

# One row for each thing that a transaction has changed: see dss_portal/changes.
_TABLE = """
CREATE TABLE change (
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    subject varchar(16) NOT NULL,
    number bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (xid, subject, number)
)
"""



def _function(column: str) -> str:
    """A trigger's function; the trigger's argument is the subject, and ``column`` has its number."""
    value = f"CASE TG_OP WHEN 'DELETE' THEN OLD.{column} ELSE NEW.{column} END" if column else "0"
    return f"""
CREATE FUNCTION note_change_of_{column or "all"}() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    INSERT INTO change (subject, number) VALUES (TG_ARGV[0], {value}) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$body$
"""


def _trigger(table: str, name: str, events: str, subject: str, column: str, when: str = "") -> str:
    condition = f"WHEN ({when}) " if when else ""
    return (
        f"CREATE TRIGGER note_{name} AFTER {events} ON {table} FOR EACH ROW {condition}"
        f"EXECUTE FUNCTION note_change_of_{column or 'all'}('{subject}')"
    )


def _differ(*columns: str) -> str:
    before, after = (", ".join(f"{row}.{c}" for c in columns) for row in ("OLD", "NEW"))
    return f"({before}) IS DISTINCT FROM ({after})"


_FUNCTIONS = [_function(column) for column in ("id", "ticket_id", "user_id", "")]
_SHOWN_OF_TICKET = _differ(
    "user_id", "service_id", "status", "attempt", "claim_id", "queued_at", "missed"
)
_SHOWN_OF_SERVICE = _differ("name", "version", "githash", "shortdesc", "current")

_TRIGGERS = (
    _trigger("ticket", "new_ticket", "INSERT OR DELETE", "state", "id"),
    _trigger("ticket", "ticket", "UPDATE", "state", "id", _SHOWN_OF_TICKET),
    _trigger("ticket_log", "log", "INSERT OR UPDATE OR DELETE", "ticket", "ticket_id"),
    _trigger("ticket_progress", "progress", "INSERT OR UPDATE OR DELETE", "ticket", "ticket_id"),
    _trigger("ticket_file", "file", "INSERT OR UPDATE OR DELETE", "ticket", "ticket_id"),
    _trigger("attachment", "attachment", "UPDATE OR DELETE", "ticket", "ticket_id"),
    _trigger("session", "session", "UPDATE OR DELETE", "user", "user_id"),
    _trigger("api_token", "api_token", "UPDATE OR DELETE", "user", "user_id"),
    _trigger("user_account", "user", "DELETE", "user", "id"),
    _trigger("user_account", "changed_user", "UPDATE", "user", "id", "OLD.* IS DISTINCT FROM NEW.*"),
    _trigger("service", "new_service", "INSERT OR DELETE", "service", "id"),
    _trigger("service", "service", "UPDATE", "service", "id", _SHOWN_OF_SERVICE),
    _trigger("tier", "tier", "UPDATE", "tier", ""),
)


class Migration(migrations.Migration):
    dependencies = [('portal', '0011_terms_on_record')]

    initial = False

    operations = [
        ops.RunSQL([_TABLE, *_FUNCTIONS, *_TRIGGERS], reverse_sql=ops.RunSQL.noop),
    ]
