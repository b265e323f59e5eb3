"""The order of waiting tickets, for claims; ``queue_places`` counts the places in it that users see.

Users take turns at each service: the first waiting tickets of all users come before their second ones, these before
their third ones, and so on.  Tickets of the same rank are ordered by the time since which their user waits: the
submission of the ticket or, if that is later, the last claim of a ticket of the user.  The priority of the user's
tier makes that time earlier by its minutes.  A ticket that returned to the queue because its claim was lost keeps its
turn: only its submission counts.

So before a user's first ticket, at most one ticket of each other user is served, however many the others have.  Only
a user of a tier with more priority may be served again earlier, by no more than its minutes.
"""

from collections.abc import Sequence
from typing import Any

from tortoise.connection import get_connection

from dss_portal import database
from dss_portal.models import Status, Ticket
from dss_portal.tickets import store

GRANT_LOCK = 0x64737302  # the same number in all portals

# Locks are taken in a fixed order, so that there is no deadlock.
_SERIALISE = f"""
SELECT {database.IDLE_LIMIT}, pg_advisory_xact_lock($1::int, key) FROM (
    SELECT DISTINCT hashtext(name) AS key FROM unnest($2::text[]) AS name ORDER BY key) AS keys
"""  # noqa: S608 - constants of ours

# The first waiting ticket of each user whose version may be granted.  $1: ids of the versions.  It walks along the index
# ticket_waiting, however many tickets wait.
_FIRST_OF_USERS = """
WITH RECURSIVE waiting AS (
    SELECT id AS service_id, (SELECT min(user_id) FROM ticket
        WHERE status = 'ready' AND ticket.service_id = service.id) AS user_id
    FROM service WHERE id = ANY($1)
    UNION ALL
    SELECT service_id, (SELECT min(user_id) FROM ticket WHERE status = 'ready'
        AND ticket.service_id = waiting.service_id AND ticket.user_id > waiting.user_id)
    FROM waiting WHERE user_id IS NOT NULL
), first AS (
    SELECT DISTINCT ON (service.name, waiting.user_id) service.name AS service, waiting.user_id, next.*
    FROM waiting JOIN service ON service.id = waiting.service_id, LATERAL (
        SELECT id, coalesce(queued_at, created_at) AS came, attempt > 1 OR claim_id IS NOT NULL AS returned
        FROM ticket WHERE status = 'ready'
            AND ticket.service_id = waiting.service_id AND ticket.user_id = waiting.user_id
        ORDER BY coalesce(queued_at, created_at), id LIMIT 1) AS next
    ORDER BY service.name, waiting.user_id, next.came, next.id
)
"""

_JOINED = """
    JOIN user_account ON user_account.id = first.user_id
    JOIN tier ON tier.name = user_account.tier_id
    LEFT JOIN turn ON turn.user_id = first.user_id AND turn.service = first.service
"""
_SINCE = """greatest(came, CASE WHEN NOT returned THEN turn.at END)
    - tier.priority_minutes * interval '1 minute'"""

# Used if tickets of every version may be granted: the next ticket is then the first of some user.
_FIRST = f"""{_FIRST_OF_USERS}
SELECT first.id FROM first {_JOINED} ORDER BY {_SINCE}, first.id LIMIT 1
"""  # noqa: S608 - constants of ours

# Used otherwise: what comes before a user's first ticket of $1 are the user's earlier tickets of other versions of the
# services $2.
_FIRST_OF_SOME = f"""{_FIRST_OF_USERS}
SELECT first.id FROM first {_JOINED}
ORDER BY (
    SELECT count(*) FROM service JOIN ticket ON ticket.service_id = service.id
    WHERE service.name = ANY($2) AND service.name = first.service AND service.id <> ALL($1)
        AND ticket.status = 'ready' AND ticket.user_id = first.user_id
        AND (coalesce(ticket.queued_at, ticket.created_at), ticket.id) < (first.came, first.id)
), {_SINCE}, first.id LIMIT 1
"""  # noqa: S608 - constants of ours

# $1: ids of versions.  $2: names of services.
_OTHER_VERSION_WAITS = """
SELECT 1 AS one FROM service WHERE name = ANY($2) AND id <> ALL($1)
    AND EXISTS (SELECT FROM ticket WHERE status = 'ready' AND service_id = service.id) LIMIT 1
"""

# Locks only one ticket: two would have to be locked in a fixed order.
_FIRST_LOCKED = f"""
SELECT id, user_id, service_id, status, attempt, claim_id, missed, traceparent, created_at, queued_at, claimed_at
FROM ticket WHERE NOT EXISTS ({_OTHER_VERSION_WAITS}) AND id = ({_FIRST}) FOR UPDATE
"""  # noqa: S608 - constants of ours


async def serialise(services: Sequence[str]) -> None:
    """Make this transaction, until it ends, the only one that may grant tickets of the services with these names.  If
    another transaction has done the same for one of them, wait for its end.
    """
    await get_connection("default").execute_query(_SERIALISE, [GRANT_LOCK, list(services)])


async def lock_next(services: Sequence[str], service_ids: Sequence[int]) -> Ticket | None:
    """The next waiting ticket that may be granted, with its row locked; None if none waits.  ``services`` are names of
    services, ``service_ids`` the database ids of those versions of them whose tickets may be granted.  Call it after
    ``serialise``, in the same transaction.
    """
    values, connection = [list(service_ids), list(services)], get_connection("default")
    while rows := await connection.execute_query_dict(_FIRST_LOCKED, values):
        if rows[0]["status"] == Status.READY:  # otherwise it was deleted meanwhile
            return _as_locked(rows[0])
    if not await connection.execute_query_dict(_OTHER_VERSION_WAITS, values):
        return None
    while found := await connection.execute_query_dict(_FIRST_OF_SOME, values):
        ticket = await store.locked(int(found[0]["id"]))
        if ticket is not None and ticket.status is Status.READY:
            return ticket
    return None


def _as_locked(row: dict[str, Any]) -> Ticket:
    """The Ticket for a row that ``_FIRST_LOCKED`` has locked, with only the columns of that row."""
    return Ticket(**{**row, "status": Status(row["status"])})
