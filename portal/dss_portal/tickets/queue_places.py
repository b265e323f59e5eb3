"""The places of waiting tickets in the order of ``queue``, counted along the index ``ticket_waiting``.

Before the n-th waiting ticket of a user come the user's first n - 1, the first n - 1 of each other user, and the n-th
one of each other user for whom its time is earlier.  So no statement sorts all waiting tickets of a service.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from tortoise.connection import get_connection

from dss_portal.models import Status, Ticket
from dss_portal.tickets.views import QueuePlace

_VERSIONS = """
SELECT id FROM service
WHERE name = $1 AND EXISTS (SELECT FROM ticket WHERE status = 'ready' AND service_id = service.id) ORDER BY id
"""

# One row of the index for each user and version.
WALK = """walk AS (
    SELECT service_id, (SELECT min(user_id) FROM ticket
        WHERE status = 'ready' AND ticket.service_id = version.service_id) AS user_id
    FROM unnest({versions}) AS version (service_id)
    UNION ALL
    SELECT service_id, (SELECT min(user_id) FROM ticket WHERE status = 'ready'
        AND ticket.service_id = walk.service_id AND ticket.user_id > walk.user_id)
    FROM walk WHERE user_id IS NOT NULL
)"""

_USERS_WAITING = f"""
WITH RECURSIVE {WALK.format(versions="ARRAY(SELECT id FROM service)")}
SELECT DISTINCT user_id FROM walk WHERE user_id IS NOT NULL
"""  # noqa: S608 - constants of ours

_WAITING = """
    SELECT id, user_id, coalesce(queued_at, created_at) AS came FROM ticket
    WHERE status = 'ready' AND service_id = ${parameter}"""

_SINCE = """greatest(came, CASE WHEN ticket.attempt > 1 OR ticket.claim_id IS NOT NULL THEN NULL ELSE served END)
        - ahead"""

# $1: the name of a service.  $2: numbers of tickets of one user.  From $3: the ids of the service's versions with
# waiting tickets.  ``mine`` are those of the tickets that wait for the service; its column ``number`` counts the user's
# waiting tickets from 1.  ``other`` are the other users with waiting tickets.
_MINE = f"""
WITH RECURSIVE {{walk}}, wanted AS MATERIALIZED (
    SELECT id, user_id, came FROM {{waiting}} WHERE id = ANY($2::int[])
), first AS MATERIALIZED (
    SELECT id, user_id, came FROM wanted ORDER BY came, id LIMIT 1
), last AS MATERIALIZED (
    SELECT id, came FROM wanted ORDER BY came DESC, id DESC LIMIT 1
), numbered AS MATERIALIZED (
    SELECT first.user_id, own.id, own.came, earlier.count + own.number AS number
    FROM first, last, LATERAL (
        SELECT count(*) AS count FROM {{waiting}}
        WHERE user_id = first.user_id AND (came, waiting.id) < (first.came, first.id)
    ) AS earlier, LATERAL (
        SELECT id, came, row_number() OVER (ORDER BY came, id) AS number FROM {{waiting}}
        WHERE user_id = first.user_id
            AND (came, id) >= (first.came, first.id) AND (came, id) <= (last.came, last.id)
    ) AS own
    WHERE own.id = ANY($2::int[])
), person AS MATERIALIZED (
    SELECT user_account.id AS user_id, turn.at AS served, tier.priority_minutes * interval '1 minute' AS ahead
    FROM user_account JOIN tier ON tier.name = user_account.tier_id
        LEFT JOIN turn ON turn.user_id = user_account.id AND turn.service = $1
    WHERE user_account.id IN (SELECT user_id FROM walk)
), mine AS MATERIALIZED (
    SELECT numbered.*, {_SINCE} AS since
    FROM numbered JOIN person USING (user_id) JOIN ticket ON ticket.id = numbered.id
), other AS MATERIALIZED (
    SELECT * FROM person WHERE user_id NOT IN (SELECT user_id FROM first)
)
"""  # noqa: S608 - constants of ours

# For one ticket: $2 has one number.
_PLACE = f"""{_MINE}, rival AS (
    SELECT nth.id, came, {_SINCE} AS since
    FROM (SELECT number FROM mine) AS mine, other, LATERAL (
        SELECT id, came FROM {{waiting}} WHERE user_id = other.user_id
        ORDER BY came, id OFFSET mine.number - 1 LIMIT 1
    ) AS nth JOIN ticket ON ticket.id = nth.id
), before AS (
    SELECT earlier.count, earlier.later
    FROM mine, other, LATERAL (
        SELECT count(*) AS count, count(*) FILTER (WHERE passed.came > mine.came) AS later FROM (
            SELECT came FROM {{waiting}} WHERE user_id = other.user_id ORDER BY came, id LIMIT mine.number - 1
        ) AS passed) AS earlier
    UNION ALL
    SELECT 1, (rival.came > mine.came)::int
    FROM mine JOIN rival ON (rival.since, rival.id) < (mine.since, mine.id)
)
SELECT number - 1 AS own,
    (SELECT coalesce(sum(count), 0) FROM before)::bigint AS others,
    (SELECT coalesce(sum(later), 0) FROM before)::bigint AS later
FROM mine
"""  # noqa: S608 - constants of ours

_PLACES = f"""{_MINE}, range AS MATERIALIZED (
    SELECT min(number) AS low, max(number) AS high FROM mine
), size AS MATERIALIZED (
    SELECT counted.count, count(*) AS users
    FROM range, other, LATERAL (
        SELECT count(*) AS count FROM (
            SELECT FROM {{waiting}} WHERE user_id = other.user_id LIMIT range.high) AS passed) AS counted
    GROUP BY counted.count
), rival AS (
    SELECT nth.number, {_SINCE} AS since, nth.id
    FROM range, other, LATERAL (
        SELECT id, came, range.low - 1 + row_number() OVER (ORDER BY came, id) AS number FROM (
            SELECT id, came FROM {{waiting}} WHERE user_id = other.user_id
            ORDER BY came, id OFFSET range.low - 1 LIMIT range.high - range.low + 1) AS passed
    ) AS nth JOIN ticket ON ticket.id = nth.id
), placed AS (
    SELECT id, number, is_mine, row_number() OVER (PARTITION BY number ORDER BY since, id) AS among FROM (
        SELECT id, number, since, true AS is_mine FROM mine
        UNION ALL SELECT id, number, since, false FROM rival) AS nths
)
SELECT id, number - 1 + among
    + (SELECT coalesce(sum(users * least(size.count, number - 1)), 0) FROM size)::bigint AS place
FROM placed WHERE is_mine
"""  # noqa: S608 - constants of ours

# $1: the name of a service.  $2: the number of tickets.  From $3: as in ``_MINE``.  ``ranked`` has the first tickets of
# all users, then their second ones, and so on, until there are enough.
_FIRST = f"""
WITH RECURSIVE {{walk}}, ranked AS (
    SELECT person.user_id, 1 AS number, next.id, next.came, count(*) OVER () AS passed
    FROM (SELECT DISTINCT user_id FROM walk WHERE user_id IS NOT NULL) AS person, LATERAL (
        SELECT id, came FROM {{waiting}} WHERE user_id = person.user_id ORDER BY came, id LIMIT 1) AS next
    UNION ALL
    SELECT ranked.user_id, number + 1, next.id, next.came, passed + count(*) OVER ()
    FROM ranked, LATERAL (
        SELECT id, came FROM {{waiting}} WHERE user_id = ranked.user_id AND (came, id) > (ranked.came, ranked.id)
        ORDER BY came, id LIMIT 1) AS next
    WHERE passed < $2
)
SELECT ranked.id, $1 AS service, ranked.user_id, came, number, {_SINCE} AS since
FROM ranked JOIN ticket ON ticket.id = ranked.id
    JOIN (SELECT id, priority_minutes * interval '1 minute' AS ahead
        FROM user_account JOIN tier ON tier.name = tier_id) AS person ON person.id = ranked.user_id
    LEFT JOIN (SELECT user_id, at AS served FROM turn WHERE service = $1) AS turn ON turn.user_id = ranked.user_id
ORDER BY number, since, ranked.id LIMIT $2
"""  # noqa: S608 - constants of ours


async def place(ticket: Ticket) -> QueuePlace | None:
    """The ticket's place among the waiting tickets of its service; None if it does not wait."""
    if ticket.status is not Status.READY:
        return None
    service = await ticket.service
    return await place_of(service.name, ticket.id)


async def place_of(service: str, ticket_id: int) -> QueuePlace | None:
    """The place of a ticket among the waiting tickets of the service with the name ``service``; None if it does not
    wait.
    """
    rows = await _rows(_PLACE, service, [ticket_id])
    return QueuePlace(**rows[0]) if rows else None


async def places(tickets: Mapping[str, Sequence[int]]) -> dict[int, int]:
    """The place in its service's queue, from 1, of each of the tickets that waits, by ticket number.  ``tickets`` are
    numbers of tickets of one user, by the name of their service.
    """
    found: dict[int, int] = {}
    for service, numbers in tickets.items():
        rows = await _rows(_PLACES, service, list(numbers))
        found |= {int(row["id"]): int(row["place"]) for row in rows}
    return found


async def position(ticket: Ticket) -> int:
    """The number of the ticket's place in its queue, from 1.  For a ticket that does not wait, the number of waiting
    tickets of its service whose ticket numbers are not larger.
    """
    found = await place(ticket)
    if found is not None:
        return found.number
    service = await ticket.service
    return await Ticket.filter(
        service__name=service.name, status=Status.READY, id__lte=ticket.id
    ).count()


async def users_waiting() -> set[int]:
    """Database ids of the users who have at least one waiting ticket."""
    rows = await get_connection("default").execute_query_dict(_USERS_WAITING)
    return {int(row["user_id"]) for row in rows}


async def first(services: Iterable[str], most: int) -> list[dict[str, Any]]:
    """The ``most`` first waiting tickets of each of the services, in the order of its queue, as rows with the columns
    ``id``, ``service`` (its name), ``user_id``, ``came`` (the submission), ``number`` (among those of the user, from 1)
    and ``since``, by which tickets of the same number are ordered.
    """
    return [row for service in services for row in await _rows(_FIRST, service, most)]


async def _rows(statement: str, service: str, value: list[int] | int) -> list[dict[str, Any]]:
    """The rows of ``statement`` about the service, with ``value`` as its second parameter; none if no ticket waits."""
    connection = get_connection("default")
    versions = [row["id"] for row in await connection.execute_query_dict(_VERSIONS, [service])]
    if not versions:
        return []
    text = _of_versions(statement, len(versions))
    return await connection.execute_query_dict(text, [service, value, *versions])


@cache
def _of_versions(statement: str, count: int) -> str:
    """``statement`` for ``count`` versions of a service, each with a branch of its own, because the planner merges
    branches in the order of the index, but sorts the rows of a list of versions.
    """
    parameters = range(3, 3 + count)
    branches = "\n    UNION ALL".join(_WAITING.format(parameter=number) for number in parameters)
    listed = ", ".join(f"${number}::int" for number in parameters)
    walk = WALK.format(versions=f"ARRAY[{listed}]")
    return statement.format(walk=walk, waiting=f"({branches}\n) AS waiting")
