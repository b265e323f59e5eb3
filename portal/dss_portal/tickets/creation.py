"""Creates tickets in the database, each with one SQL statement."""

from datetime import datetime

from tortoise.connection import get_connection

from dss_portal.database import clock
from dss_portal.models import Service, Status
from dss_portal.tickets import creation_keys
from dss_portal.tickets.creation_keys import CreationKey

_CREATE_AT_ONCE = "SELECT new_ticket($1, $2, $3, $4) AS id"

_CREATE_BY_HASH = """
SELECT new_ticket($1, service.id, $3, $4) AS id FROM service WHERE service.githash = $2 AND service.current
"""

# $2: id of the service, or NULL if no such service takes tickets.  Returns no row if the key is new and no ticket was made.
_CREATE_KEYED = "SELECT id, is_same FROM new_keyed_ticket($1, $2, $3, $4, $5, $6)"

_CREATE_KEYED_BY_HASH = """
SELECT id, is_same FROM new_keyed_ticket($1,
    (SELECT service.id FROM service WHERE service.githash = $2 AND service.current), $3, $4, $5, $6)
"""

_CREATE = """
WITH made AS (
    INSERT INTO ticket (user_id, service_id, status, created_at) VALUES ($1, $2, $3, $4) RETURNING id
)
INSERT INTO ticket_history (ticket_id, status, at) SELECT id, $3, $4 FROM made RETURNING ticket_id AS id
"""


async def create(user_id: int, service: Service) -> int:
    """Create a ticket in state ``init`` and return its number.  Call it in a transaction that has checked the user's
    quota.
    """
    values = [user_id, service.id, Status.INIT.value, clock.now()]
    rows = await get_connection("default").execute_query_dict(_CREATE, values)
    return int(rows[0]["id"])


async def create_at_once(user_id: int, service: Service, alive_since: datetime) -> int | None:
    """Create a ticket in state ``init`` with one statement, which also checks the user's limit on open tickets, and
    return its number.  None, with nothing created, if the limit is reached or the user is disabled.

    A ticket in ``init`` counts towards the limit only if it was created or received a part of a file at ``alive_since``
    or later.
    """
    return await _created(_CREATE_AT_ONCE, [user_id, service.id, clock.now(), alive_since])


async def create_by_hash(user_id: int, githash: str, alive_since: datetime) -> int | None:
    """Create a ticket in state ``init`` for the service with the hash ``githash``, with one statement, and return its
    number.  None, with nothing created, if no service with that hash takes tickets, if the user's limit on open tickets
    is reached, or if the user is disabled.  ``alive_since`` is as in ``create_at_once``.
    """
    return await _created(_CREATE_BY_HASH, [user_id, githash, clock.now(), alive_since])


async def create_keyed(
    user_id: int, service: Service | None, alive_since: datetime, key: CreationKey
) -> int | None:
    """Return the number of the ticket that the user has created with ``key`` before.  Without one, create a ticket as
    ``create_at_once`` does, if ``service`` is not None, and return its number; all with one statement.

    Raises Refused, with nothing created, if the key was used with another form.
    """
    service_id = None if service is None else service.id
    return await _keyed(_CREATE_KEYED, user_id, service_id, alive_since, key)


async def create_keyed_by_hash(
    user_id: int, githash: str, alive_since: datetime, key: CreationKey
) -> int | None:
    """As ``create_keyed``, for the service with the hash ``githash``, if it takes tickets."""
    return await _keyed(_CREATE_KEYED_BY_HASH, user_id, githash, alive_since, key)


async def _keyed(
    statement: str, user_id: int, service: object, alive_since: datetime, key: CreationKey
) -> int | None:
    values = [user_id, service, clock.now(), alive_since, key.key, key.sha256]
    rows = await get_connection("default").execute_query_dict(statement, values)
    if not rows:
        return None
    if not rows[0]["is_same"]:
        raise creation_keys.another_form()
    return int(rows[0]["id"])


async def _created(statement: str, values: list[object]) -> int | None:
    rows = await get_connection("default").execute_query_dict(statement, values)
    number: int | None = rows[0]["id"] if rows else None
    return number
