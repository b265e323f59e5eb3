"""The list of a user's tickets with names and times, for people.  ITK-SNAP polls the shorter list of ``store.listed``
instead.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from tortoise.connection import get_connection

from dss_portal.formats import PAGE_ROWS, Rows

COLUMNS = ("id", "service", "version", "status", "title", "created_at", "ended_at", "verdict")

_PAGE = """
SELECT t.id, s.name AS service, s.version, t.status, t.title, t.created_at, t.verdict,
    CASE WHEN t.status IN ('success', 'failed', 'timeout') THEN
        (SELECT max(h.at) FROM ticket_history h WHERE h.ticket_id = t.id AND h.status = t.status)
    END AS ended_at
FROM ticket t JOIN service s ON s.id = t.service_id
WHERE t.user_id = $1 AND t.id > $2 AND t.status <> 'deleted'
ORDER BY t.id LIMIT $3
"""


async def of_user(user_id: int) -> AsyncIterator[Rows]:
    """Yield pages of rows with the values of COLUMNS for the user's tickets that are not deleted, ordered by number.
    Times are in ISO 8601 and UTC; "" if there is none.
    """
    last = 0
    while True:
        found = await get_connection("default").execute_query_dict(
            _PAGE, [user_id, last, PAGE_ROWS]
        )
        rows = [_row(each) for each in found]
        if rows:
            yield rows
            last = int(found[-1]["id"])
        if len(rows) < PAGE_ROWS:
            return


def _row(found: dict[str, object]) -> tuple[str | int, ...]:
    moments = {name: _iso(found[name]) for name in ("created_at", "ended_at")}
    number = int(str(found["id"]))
    return number, *(str((found | moments)[name]) for name in COLUMNS[1:])


def _iso(moment: object) -> str:
    return moment.astimezone(UTC).isoformat() if isinstance(moment, datetime) else ""
