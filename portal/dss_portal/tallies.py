"""Tallies that the database keeps, so that nobody has to count all tickets or add up all files of a user.

Triggers (migration 0033) insert a row for each change: into ``ticket_tally`` for a ticket that enters or leaves a state,
into ``stored_tally`` for a file or attachment that comes, goes or changes its size.  The sum of the rows of a key is its
value, so no transaction waits for another one.  ``fold`` replaces many rows of a key by their sum.
"""

from tortoise.connection import get_connection

from dss_portal.models import Status

MOST_ROWS = 20
"""Keys with more rows than this are folded."""

_TICKETS = """
SELECT service.name, ticket_tally.status, sum(ticket_tally.tickets)::bigint AS tickets
FROM ticket_tally JOIN service ON service.id = ticket_tally.service_id
GROUP BY service.name, ticket_tally.status HAVING sum(ticket_tally.tickets) <> 0
"""

_FOLD = "SELECT fold_tallies($1)"


async def tickets() -> dict[tuple[str, Status], int]:
    """The number of tickets of each service, by its name, in each state, without the states that no
    ticket is in.
    """
    rows = await get_connection("default").execute_query_dict(_TICKETS)
    return {(str(row["name"]), Status(row["status"])): row["tickets"] for row in rows}


async def fold() -> None:
    """Replace the rows of each key with more than MOST_ROWS rows by one.  Does nothing while another portal does it."""
    await get_connection("default").execute_query(_FOLD, [MOST_ROWS])
