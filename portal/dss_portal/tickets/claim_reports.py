"""Stores the log lines and the progress that the holder of a claim reports.  One SQL statement writes them, checks that
the claim is the ticket's current one, and renews its lease.

So an event needs one round trip to the database and one commit.  Most events of a claim are of this kind.
"""

from collections.abc import Sequence
from typing import TypeGuard

from tortoise.connection import get_connection

from dss_broker.messages import (
    ClaimLogged,
    ClaimProgressed,
    ClaimReported,
    ReportedLine,
    ReportedPart,
)
from dss_portal.database import clock
from dss_portal.tickets.claims import RENEWED

Report = ClaimReported | ClaimLogged | ClaimProgressed

# $1, $2: ticket and claim.  $3: now.  $4 to $6: category, text and id of each line.  $7 to $9: each part's progress.
_WRITE = f"""
WITH held AS (
    SELECT id, claim_id FROM ticket WHERE id = $1 AND status = 'claimed' AND claim_id = $2 FOR UPDATE
), renewed AS (
    UPDATE claim SET expires_at = now() + lease_s * interval '1 s', {RENEWED}
    FROM held WHERE claim.id = held.claim_id
), logged AS (
    INSERT INTO ticket_log (ticket_id, at, category, message, message_id)
    SELECT held.id, $3, line.category, line.message, line.message_id
    FROM held, unnest($4::text[], $5::text[], $6::text[]) WITH ORDINALITY AS line (category, message, message_id, n)
    ORDER BY n
    ON CONFLICT (message_id) DO NOTHING
), told AS (
    INSERT INTO ticket_progress (ticket_id, chunk_start, chunk_end, progress)
    SELECT held.id, part.* FROM held, unnest($7::float8[], $8::float8[], $9::float8[]) AS part
    ON CONFLICT (ticket_id, chunk_start, chunk_end) DO UPDATE SET progress = excluded.progress
)
SELECT id FROM held
"""  # noqa: S608 - contains no input


def is_report(event: object) -> TypeGuard[Report]:
    """True if the event contains only log lines or progress, so that ``write`` can store it; False for a log line with
    attached files, and for every other event.
    """
    return isinstance(event, Report) and not (isinstance(event, ClaimLogged) and event.attachments)


async def write(event: Report, message_id: str) -> bool:
    """Store the event's log lines and progress, and renew the lease of its claim.  Returns False and writes nothing if
    the claim is not the ticket's current one.

    Idempotent: for one ``message_id`` the lines are stored once.
    """
    lines, parts = _lines(event), _parts(event)
    ids = [message_id] if isinstance(event, ClaimLogged) else _numbered(message_id, len(lines))
    values = [
        *(event.ticket_id, event.claim_id, clock.now()),
        *([line.level for line in lines], [line.text for line in lines], ids),
        *([part.chunk_start for part in parts], [part.chunk_end for part in parts]),
        [part.progress for part in parts],
    ]
    return bool(await get_connection("default").execute_query_dict(_WRITE, values))


def _numbered(message_id: str, number: int) -> list[str]:
    return [f"{message_id}.{n}" for n in range(number)]


def _lines(event: Report) -> Sequence[ReportedLine]:
    match event:
        case ClaimReported(lines=lines):
            return lines
        case ClaimLogged(level=level, text=text):
            return (ReportedLine(level=level, text=text),)
        case ClaimProgressed():
            return ()


def _parts(event: Report) -> Sequence[ReportedPart]:
    """The progress of each part of the work that the event reports; of a part that occurs several times, only the last
    progress.
    """
    match event:
        case ClaimReported(parts=parts):
            return tuple({(part.chunk_start, part.chunk_end): part for part in parts}.values())
        case ClaimProgressed(chunk_start=start, chunk_end=end, progress=progress):
            return (ReportedPart(chunk_start=start, chunk_end=end, progress=progress),)
        case ClaimLogged():
            return ()
