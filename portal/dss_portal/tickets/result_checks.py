"""Asks another program over the broker to check the results of a provider over HTTP, because the portal does not read
images.
"""

import asyncio
import logging
from contextlib import suppress

from dss_broker.broker import Broker, Conversation
from dss_broker.errors import BrokerClosed, ReplyTimeout, Unroutable
from dss_broker.messages import (
    CheckResults,
    Message,
    ResultsAccepted,
    ResultsRefused,
)
from dss_portal import database
from dss_portal.refusals import Refused
from dss_portal.tickets import claims

log = logging.getLogger(__name__)

POLL_S = 0.05
RENEW_S = 5.0
"""Interval in seconds at which the claim is renewed while the check runs; it is short, because a service may have
leases of seconds.
"""

REFUSED = "The results cannot be accepted. {} Mend them, send them again, and set the status again."
NO_ANSWER = (
    "The results could not be checked, since no program that does so answered within {:g} seconds. The "
    "ticket stays claimed; set the status again in a while, and tell the operator if that does not help."
)
TOO_MANY = "The results are too many files to be checked; send fewer, or shorter names."


async def require_accepted(broker: Broker, request: CheckResults) -> ResultsAccepted:
    """Send the request ``request``, and wait for the verdict; the claim is renewed meanwhile.  Call it outside of a
    transaction, because it may take long.

    Raises Refused if the results are not accepted, if no verdict comes within ``patience_s`` seconds, if no program
    checks results now, or if the request is too large for a message.
    """
    match await _answered(broker, request):
        case ResultsAccepted() as accepted:
            return accepted
        case ResultsRefused(reason=reason):
            log.info(
                "results refused", extra={"ticket": request.ticket_id, "claim": request.claim_id}
            )
            raise Refused(REFUSED.format(reason))
        case None:
            facts = {"ticket": request.ticket_id, "claim": request.claim_id}
            log.warning("nobody checks results", extra=facts)
            raise Refused(NO_ANSWER.format(request.patience_s))
        case other:
            raise TypeError(f"{type(other).__name__} is no verdict")


async def _answered(broker: Broker, request: CheckResults) -> Message | None:
    try:
        conversation = broker.request(request)
    except ValueError as error:
        raise Refused(TOO_MANY) from error
    try:
        return await _next(conversation, request)
    except (Unroutable, BrokerClosed):
        return None
    finally:
        conversation.close()


async def _next(conversation: Conversation, request: CheckResults) -> Message | None:
    """The next message of the conversation; None if none comes within ``patience_s`` seconds.  The claim is renewed
    every RENEW_S seconds in the meantime.  Raises Unroutable if no program receives the request.

    It polls every POLL_S seconds.  If each wait blocked a thread instead, no threads would be left for work on files.
    """
    clock = asyncio.get_running_loop().time
    ends_s, renewed_s = clock() + request.patience_s, clock()
    while clock() < ends_s:
        with suppress(ReplyTimeout):
            return conversation.next(0.0)
        if clock() > renewed_s + RENEW_S:
            renewed_s = clock()
            await _keep(request.claim_id)
        await asyncio.sleep(POLL_S)
    return None


async def _keep(claim_id: str) -> None:
    """Renew the lease of the claim.  Does nothing if the database is unavailable at the moment."""
    try:
        await claims.renew(claim_id)
    except Exception as error:
        if not await database.is_temporary(error):
            raise
