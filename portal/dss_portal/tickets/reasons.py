"""Finds the reason why a ticket failed: the last error in its log or, without errors, the last warning."""

from collections.abc import Iterable

from tortoise.connection import get_connection

_LAST = """
SELECT DISTINCT ON (ticket_id) ticket_id, message FROM ticket_log
WHERE ticket_id = ANY($1) AND category IN ('error', 'warning')
ORDER BY ticket_id, category = 'error' DESC, id DESC
"""


async def reasons(ticket_ids: Iterable[int]) -> dict[int, str]:
    """By ticket number, the last error in the log of each ticket or, if it has none, its last warning.  Tickets without
    either are left out.
    """
    rows = await get_connection("default").execute_query_dict(_LAST, [list(ticket_ids)])
    return {int(row["ticket_id"]): str(row["message"]) for row in rows}
