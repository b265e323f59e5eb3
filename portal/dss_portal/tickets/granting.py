"""Grants a claim of a waiting ticket with one SQL statement, which writes everything that the grant changes."""

import logging
import uuid
from dataclasses import dataclass

from tortoise.connection import get_connection

from dss_portal.models import Service, Ticket
from dss_portal.services.liveness import SENTENCES, MissingProgram
from dss_portal.tickets import counting, lifecycle, store
from dss_portal.tickets.lifecycle import Claimed

log = logging.getLogger(__name__)

# The lease is by the database's clock.  The first log line gets the attachments that have no line yet.  Returns the
# folder of the input files, which does not change any more: the ticket is locked, and a claimed one takes no files.
_WRITE = """
WITH granted AS (
    INSERT INTO claim (id, ticket_id, provider, instance, user_id, delivery_id, deliveries, lease_s,
        granted_at, expires_at)
    VALUES ($2, $1, $3, $4, $5, $6, $7, $8, $9, now() + $8::float * interval '1 s')
), turned AS (
    INSERT INTO turn (service, user_id, at) VALUES ($10, $11, $9)
    ON CONFLICT (user_id, service) DO UPDATE SET at = excluded.at
), changed AS (
    UPDATE ticket SET status = $12, claim_id = $2, claimed_at = $9, missed = $14 WHERE id = $1
), noted AS (
    INSERT INTO ticket_history (ticket_id, status, at) VALUES ($1, $12, $9)
), cleared AS (
    DELETE FROM ticket_progress WHERE ticket_id = $1
), line AS (
    INSERT INTO ticket_log (ticket_id, at, category, message)
    SELECT $1, $9, 'info', message FROM unnest($13::text[]) WITH ORDINALITY AS line (message, n) ORDER BY n
    RETURNING id
), adopted AS (
    UPDATE attachment SET log_id = first.id FROM (SELECT min(id) AS id FROM line) AS first
    WHERE ticket_id = $1 AND log_id IS NULL
)
SELECT coalesce(max(folder), '') AS folder FROM ticket_file WHERE ticket_id = $1 AND area = 'input'
"""


@dataclass(frozen=True, kw_only=True)
class Claimant:
    """The future holder of a claim: a dispatcher that has received a message, or a provider's user over HTTP
    (``user_id``).

    ``lease_s`` applies to services that set no lease.  ``delivery_id`` identifies the dispatcher's message, or the HTTP
    request if the provider may repeat it.  ``deliveries`` is how often the message was delivered, including this time.
    """

    provider: str
    instance: str
    lease_s: float
    delivery_id: str | None = None
    deliveries: int = 1
    user_id: int | None = None

    @property
    def line(self) -> str:
        """The text of the log line that reports the claim; existing clients know its wording."""
        return f"Ticket claimed by provider {self.provider} instance {self.instance}"


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A claim that was granted.  ``input_folder`` is the folder of the ticket's input files, as in TicketFile."""

    claim_id: str
    lease_s: float
    input_folder: str


async def write(ticket: Ticket, service: Service, claimant: Claimant, lease_s: float) -> Grant:
    """Claim a locked ticket that waits, within the caller's transaction.  ``lease_s`` is the claim's lease.  If the
    ticket's log reports a program as missing that the claim shows to be back, the log says so first.
    """
    before, now = store.state_of(ticket), store.now()
    claim_id = uuid.uuid4().hex
    event = Claimed(claim_id=claim_id)
    after = lifecycle.apply(before, event)
    is_back = store.shows_return(ticket, event)
    lines = [SENTENCES[MissingProgram.NONE], claimant.line] if is_back else [claimant.line]
    missed = MissingProgram.NONE.value if is_back else ticket.missed
    values = [
        *(ticket.id, claim_id, claimant.provider, claimant.instance, claimant.user_id),
        *(claimant.delivery_id, claimant.deliveries, lease_s, now),
        *(service.name, ticket.user_id, after.status.value, lines, missed),
    ]
    (row,) = await get_connection("default").execute_query_dict(_WRITE, values)
    ticket.status, ticket.claim_id, ticket.claimed_at = after.status, after.claim_id, now
    ticket.service, ticket.missed = service, missed
    await counting.count(ticket, event, before.status)
    facts = {"ticket": ticket.id, "event": "Claimed", "claim": claim_id}
    log.info("ticket changed", extra={**facts, "status": after.status.value})
    return Grant(claim_id=claim_id, lease_s=lease_s, input_folder=row["folder"])
