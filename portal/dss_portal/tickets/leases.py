"""Ends claims whose lease has expired.

Events of a claim's holder renew its lease, and they travel through the broker.  While the broker is unavailable, or the
portal that consumes the events is frozen, a lease may expire although the holder is alive.  Therefore an expired claim
is not ended at once.  The portal publishes LeaseOverdue to the queue of events, behind the events that are on their
way, and only when the broker has been connected long enough for every program to reconnect.  The claim ends if its
lease is still expired when that message is consumed.
"""

import time

from tortoise.transactions import in_transaction

from dss_broker.broker import Broker
from dss_broker.messages import LeaseOverdue
from dss_observability import metrics
from dss_portal.models import Status, Ticket
from dss_portal.tickets import claims, store, submission
from dss_portal.tickets.lifecycle import LeaseLapsed

ASK_AGAIN_S = 30.0
"""Time in seconds after which LeaseOverdue is published again for the same claim, in case a portal that ended has lost
the first message.
"""


class OverdueClaims:
    """Publishes LeaseOverdue for each claim whose lease seems to have expired, once the broker has been connected for
    ``grace_s`` seconds.
    """

    def __init__(self, broker: Broker, grace_s: float) -> None:
        self._broker = broker
        self._grace_s = grace_s
        self._away_s = time.monotonic()
        self._asked: dict[str, float] = {}

    async def ask(self) -> int:
        """Publish LeaseOverdue for each claim whose lease seems to have expired, and return the number of messages.

        Publishes nothing until the broker has been connected for ``grace_s`` seconds, and at most one message for each
        claim within ASK_AGAIN_S.
        """
        now_s = time.monotonic()
        if not self._broker.connected:
            self._away_s = now_s
        if now_s - self._away_s < self._grace_s:
            return 0
        self._asked = {c: at for c, at in self._asked.items() if at + ASK_AGAIN_S > now_s}
        overdue = [(t, c) for t, c in await claims.lapsed() if c not in self._asked]
        for ticket_id, claim_id in overdue:
            self._broker.publish(LeaseOverdue(ticket_id=ticket_id, claim_id=claim_id))
            self._asked[claim_id] = now_s
        return len(overdue)


async def lapse(ticket_id: int, claim_id: str, max_attempts: int) -> bool:
    """Handle LeaseOverdue: if the claim's lease is still expired, end the claim, and queue the ticket again or, after
    ``max_attempts`` attempts, time it out.  False if the claim has ended already or its lease was renewed.
    """
    async with in_transaction():
        ticket = await store.locked(ticket_id)
        if ticket is None or not await claims.lapsed(claim_id):
            return False
        event = LeaseLapsed(claim_id=claim_id, max_attempts=max_attempts)
        if not await store.advance(ticket, event):
            return False
        metrics.LEASES_LAPSED.inc()
        await store.add_log(ticket_id, "warning", _sentence(ticket, max_attempts))
        if ticket.status is Status.READY:
            await submission.announce(ticket)
    return True


def _sentence(ticket: Ticket, max_attempts: int) -> str:
    if ticket.status is Status.TIMEOUT:
        return f"The service did not answer in {max_attempts} attempts; the ticket was given up."
    return f"The service stopped answering; attempt {ticket.attempt} of {max_attempts} is queued."
