"""The table of notifications to send.  A notification is stored in the transaction that ends its ticket.

A sender leases a notification for LEASE_S, so that no other portal sends it meanwhile, and deletes it once the
receiver has accepted it.  After a failure it is sent again later; after MAX_TRIES it is set aside with a reason for
its user.
"""

import asyncio
import uuid
from dataclasses import dataclass
from datetime import datetime

from tortoise.connection import get_connection

from dss_portal.database import clock
from dss_portal.database.commits import after_commit
from dss_portal.models import Notification, NotificationChannel, Ticket

LEASE_S = 60.0
FIRST_DELAY_S, LONGEST_DELAY_S = 5.0, 3600.0  # between two tries, doubled each time
MAX_TRIES = 16
"""Most attempts to send a notification, which together take about six hours."""
MOST_OF_A_CHANNEL = 4
"""Most notifications that are sent to one channel at a time, by all portals together: a receiver that hangs delays few
others.
"""
KEPT = 20
"""Most notifications that stay set aside for one channel."""

senders: set[asyncio.Event] = set()
"""Events that are set after each commit of this process that has stored a notification."""

_PUT = """
INSERT INTO notification (channel_id, key, ticket_id, service, outcome, ended_at, created_at)
SELECT channel.id, replace(gen_random_uuid()::text, '-', ''), $1, service.name, $3, $4, $4
FROM notification_channel channel, service WHERE channel.user_id = $5 AND service.id = $2 RETURNING id
"""

# The condition on taken_until is repeated, because PostgreSQL checks it again in a row that another portal has just taken.
_TAKE = """
WITH busy AS (
    SELECT channel_id, count(*) AS sending FROM notification
    WHERE set_aside_at IS NULL AND taken_until > now() GROUP BY channel_id
), due AS (
    SELECT id, coalesce(sending, 0) + row_number() OVER (PARTITION BY channel_id ORDER BY id) AS place
    FROM notification LEFT JOIN busy USING (channel_id)
    WHERE set_aside_at IS NULL AND (not_before IS NULL OR not_before <= now())
        AND (taken_until IS NULL OR taken_until <= now())
), chosen AS (
    SELECT notification.id FROM notification JOIN due ON due.id = notification.id
    WHERE place <= $1 AND (taken_until IS NULL OR taken_until <= now())
    ORDER BY place, notification.id LIMIT $2 FOR UPDATE OF notification SKIP LOCKED
)
UPDATE notification SET taken_until = now() + $3::float8 * interval '1 s', taken_by = $4, tries = tries + 1
FROM chosen, notification_channel channel
WHERE notification.id = chosen.id AND channel.id = notification.channel_id
RETURNING notification.id, kind, address, secret, key, ticket_id, service, outcome, ended_at, tries
"""

_SENT = """
WITH gone AS (DELETE FROM notification WHERE id = $1 AND taken_by = $2 RETURNING channel_id)
UPDATE notification_channel SET told_at = now() FROM gone WHERE id = gone.channel_id
"""

_PUT_OFF = """
UPDATE notification SET taken_until = NULL, taken_by = NULL, reason = $3,
    not_before = now() + least($4::float8 * 2 ^ (tries - 1), $5::float8) * interval '1 s'
WHERE id = $1 AND taken_by = $2
"""

_SET_ASIDE = """
UPDATE notification SET set_aside_at = now(), taken_until = NULL, taken_by = NULL, reason = $3
WHERE id = $1 AND taken_by = $2 RETURNING channel_id
"""

_WAITING = """
SELECT kind, count(*) AS waiting, min(created_at) AS since
FROM notification JOIN notification_channel channel ON channel.id = channel_id
WHERE set_aside_at IS NULL GROUP BY kind
"""

_FORGET_OLD = """
DELETE FROM notification WHERE id IN (
    SELECT id FROM notification WHERE channel_id = $1 AND set_aside_at IS NOT NULL
    ORDER BY set_aside_at DESC OFFSET $2
)
"""


@dataclass(frozen=True, kw_only=True)
class LeasedNotification:
    """A leased notification to send now, with the kind, address and secret of its channel.  ``tries`` includes this
    attempt.
    """

    id: int
    kind: str
    address: str
    secret: str
    key: str
    ticket_id: int | None
    service: str
    outcome: str
    ended_at: datetime
    tries: int


async def put(ticket: Ticket) -> None:
    """Store a notification for each channel of the ticket's user, none without a channel, within the transaction that
    has just ended the ticket.  The commit wakes the senders of this process.
    """
    values = [ticket.id, ticket.service_id, ticket.status.value, clock.now(), ticket.user_id]
    if await get_connection("default").execute_query_dict(_PUT, values):
        after_commit(_wake)


async def put_trial(channel: NotificationChannel) -> int:
    """Store a notification that only tries the channel: it has no ticket and is sent only once.  Returns its number."""
    trial = await Notification.create(
        channel=channel, key=uuid.uuid4().hex, ended_at=clock.now(), tries=MAX_TRIES - 1
    )
    after_commit(_wake)
    return int(trial.id)


async def waiting() -> dict[str, tuple[int, datetime]]:
    """By kind of channel: the number of waiting notifications, and the time since which the oldest of them waits.  A
    kind without waiting notifications is missing.
    """
    rows = await get_connection("default").execute_query_dict(_WAITING)
    return {row["kind"]: (row["waiting"], row["since"]) for row in rows}


async def take(most: int, lease_id: str) -> list[LeasedNotification]:
    """Lease at most ``most`` due notifications for LEASE_S, so that no more than MOST_OF_A_CHANNEL of one channel are
    leased at a time.  ``lease_id`` is the id of the lease, which ``sent``, ``postpone`` and ``set_aside`` need.
    """
    values = [MOST_OF_A_CHANNEL, most, LEASE_S, lease_id]
    rows = await get_connection("default").execute_query_dict(_TAKE, values)
    return [LeasedNotification(**row) for row in sorted(rows, key=lambda row: int(row["id"]))]


async def sent(taken: LeasedNotification, lease_id: str) -> None:
    """Delete a notification that the receiver has accepted, and record the time in its channel.  Idempotent; does
    nothing if the notification was leased again since the lease ``lease_id``.
    """
    await get_connection("default").execute_query(_SENT, [taken.id, lease_id])


async def postpone(taken: LeasedNotification, lease_id: str, reason: str) -> None:
    """Postpone a notification after a failed attempt, by FIRST_DELAY_S, doubled with each attempt up to LONGEST_DELAY_S.
    Does nothing if the notification was leased again since the lease ``lease_id``.
    """
    values = [taken.id, lease_id, reason, FIRST_DELAY_S, LONGEST_DELAY_S]
    await get_connection("default").execute_query(_PUT_OFF, values)


async def set_aside(taken: LeasedNotification, lease_id: str, reason: str) -> None:
    """Set a notification aside with its reason, so that it is not sent any more.  Of one channel, only the KEPT newest
    ones stay.  Does nothing if the notification was leased again since the lease ``lease_id``.
    """
    rows = await get_connection("default").execute_query_dict(
        _SET_ASIDE, [taken.id, lease_id, reason]
    )
    for row in rows:
        await get_connection("default").execute_query(_FORGET_OLD, [row["channel_id"], KEPT])


def _wake() -> None:
    for event in tuple(senders):
        event.set()
