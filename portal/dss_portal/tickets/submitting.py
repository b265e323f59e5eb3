"""Submits a ticket with two SQL statements: the first reads everything that is needed, the second writes everything
that changes.

If the ticket changes between the two, or if it needs other changes as well, ``submission.lock_and_submit`` submits it
under a lock.  That also finds the reason of a refusal.
"""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tortoise.connection import get_connection

from dss_broker.codec import encode
from dss_broker.messages import TicketReady
from dss_observability.tracing import current_traceparent
from dss_portal.accounts.person import Person
from dss_portal.datastore import Datastore
from dss_portal.estimates import runs
from dss_portal.models import Status
from dss_portal.outbox import store as outbox
from dss_portal.tickets import counting, files, lifecycle, quota, store, submission, titles
from dss_portal.tickets.lifecycle import Requeued, Submitted, TicketState

log = logging.getLogger(__name__)

_DRAFT = """
SELECT ticket.id, ticket.user_id, ticket.status, ticket.attempt, ticket.claim_id,
    coalesce(ticket.uploaded_at, ticket.created_at) AS touched_at, ticket.missed <> '' AS misses,
    service.name AS service, service.githash,
    ARRAY(SELECT CASE WHEN folder = '' THEN name ELSE folder || '/' || name END FROM ticket_file
        WHERE ticket_id = ticket.id AND area = 'input' ORDER BY index) AS places
FROM ticket JOIN service ON service.id = ticket.service_id WHERE ticket.id = $1
"""

# Writes only if the ticket is still in the state that was read: $3, $4, $5.
_QUEUE = outbox.StoringStatement("""
WITH changed AS (
    UPDATE ticket SET status = $6, attempt = $7, claim_id = $8, queued_at = $9, traceparent = $10, voxels = $11,
        announced_at = $9, announcements = 1, expected_at = NULL
    WHERE id = $1 AND user_id = $2 AND status = $3 AND attempt = $4 AND claim_id IS NOT DISTINCT FROM $5
        AND NOT (SELECT disabled FROM user_account WHERE id = $2)
    RETURNING id
), noted AS (
    INSERT INTO ticket_history (ticket_id, status, at) SELECT id, $6, $9 FROM changed
), line AS (
    INSERT INTO ticket_log (ticket_id, at, category, message) SELECT id, $9, 'info', $12 FROM changed RETURNING id
), adopted AS (
    UPDATE attachment SET log_id = line.id FROM line WHERE ticket_id = $1 AND log_id IS NULL
), told AS (
    {insert}
    SELECT $13, $14, $15, $10, $9, id FROM changed
)
SELECT id FROM changed
""")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A ticket before its submission, as it was read without a lock.  ``touched_at`` is when it was created or last
    received a part of a file; ``places`` are the places of its input files; ``misses`` is True if its log reports a
    missing program.
    """

    id: int
    user_id: int
    status: Status
    attempt: int
    claim_id: str | None
    touched_at: datetime
    misses: bool
    service: str
    githash: str
    places: Sequence[str]

    @property
    def state(self) -> TicketState:
        return TicketState(status=self.status, attempt=self.attempt, claim_id=self.claim_id)

    def fits_one_statement(self, quiet_s: float) -> bool:
        """True if the ticket already counts towards its user's quota and its log reports no missing program, so that
        the one statement ``_QUEUE`` can submit it.
        """
        return not self.misses and not quota.is_past(self.touched_at, quiet_s)


async def submit(
    datastore: Datastore, ticket_id: int, user: Person, *, scrubs: bool, quiet_s: float
) -> None:
    """Queue the user's ticket; before that, take its title from its workspace and its number of voxels from its images.
    A sysadmin may queue any ticket that is neither successful nor deleted; nothing is taken from another user's ticket
    or from one that is not in ``init``.  Raises Refused if the user is disabled, or if the ticket is not the user's, is
    not in ``init``, or would exceed the quota.

    ``scrubs``: mesh layers without files are removed from the ticket's workspaces.
    """
    draft = await _draft(ticket_id)
    if draft is None or draft.user_id != user.id or draft.status is not Status.INIT:
        await submission.lock_and_submit(ticket_id, user, quiet_s)
        return
    if any(files.is_workspace(place) for place in draft.places):
        if scrubs:
            await files.leave_out_meshes(datastore, ticket_id, user)
        await titles.take_from_workspace(datastore, ticket_id, user)
    voxels = await runs.largest(datastore, ticket_id, draft.places)
    if not (draft.fits_one_statement(quiet_s) and await _queued(draft, user, voxels)):
        await runs.store_voxels(ticket_id, voxels)
        await submission.lock_and_submit(ticket_id, user, quiet_s)


async def _draft(ticket_id: int) -> Draft | None:
    if ticket_id >= 2**31:
        return None
    rows: list[dict[str, Any]] = await get_connection("default").execute_query_dict(
        _DRAFT, [ticket_id]
    )
    return Draft(**{**rows[0], "status": Status(rows[0]["status"])}) if rows else None


async def _queued(draft: Draft, user: Person, voxels: int | None) -> bool:
    """Queue the ticket; False, with nothing changed, if the ticket has changed since it was read, or if its user is
    disabled.
    """
    before, now = draft.state, store.now()
    event = Requeued() if user.sysadmin else Submitted()
    after = lifecycle.apply(before, event)
    ready = TicketReady(
        ticket_id=draft.id,
        service=draft.service,
        service_hash=draft.githash,
        attempt=after.attempt,
    )
    type_name, body = encode(ready)
    values = [
        *(draft.id, user.id, before.status.value, before.attempt, before.claim_id),
        *(after.status.value, after.attempt, after.claim_id, now, current_traceparent.get()),
        *(voxels, submission.QUEUED, uuid.uuid4().hex, type_name, body),
    ]
    if not await _QUEUE.execute(values):
        return False
    counting.count_event(draft.service, event)
    facts = {"ticket": draft.id, "event": type(event).__name__, "claim": after.claim_id}
    log.info("ticket changed", extra={**facts, "status": after.status.value})
    return True
