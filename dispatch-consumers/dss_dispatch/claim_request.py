"""Requests a claim on a ticket from the portals, repeatedly, until one of them answers."""

import logging
import threading
import time
from itertools import chain, repeat

from dss_broker.broker import Broker, Conversation
from dss_broker.errors import MessageRefused, ReplyTimeout, ReturnToQueue, Unroutable
from dss_broker.messages import ClaimTicket, Message

log = logging.getLogger(__name__)

RESEND_S = (10.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds to wait before the request is repeated, because the request or its answer may be lost.  The last value
applies to all later repetitions.
"""

REFUSED_S = 5.0
"""Wait in seconds after the broker has refused the request: an operator has to grant the right."""

POLL_S = 0.5
"""Interval in seconds at which the wait checks whether the program is stopping."""


def request_claim(broker: Broker, request: ClaimTicket, stopping: threading.Event) -> Message:
    """Request the claim and return the portal's answer.  While no portal is connected, it waits.

    A repeated request is safe, because the portal gives the same answer again.  Raises ReturnToQueue when
    ``stopping`` is set, BrokerClosed if the broker was closed.
    """
    waits_s = chain(RESEND_S, repeat(RESEND_S[-1]))
    reply = _request_once(broker, request, next(waits_s), stopping)
    while reply is None:
        log.warning("no portal answers, asking again", extra={"service": request.service})
        reply = _request_once(broker, request, next(waits_s), stopping)
    return reply


def _request_once(
    broker: Broker, request: ClaimTicket, wait_s: float, stopping: threading.Event
) -> Message | None:
    """Send the request and wait for the answer; None if none came within ``wait_s`` seconds.  Raises ReturnToQueue once
    ``stopping`` is set.
    """
    ends_s = time.monotonic() + wait_s
    conversation = broker.request(request)
    try:
        while time.monotonic() < ends_s:
            if stopping.is_set():
                raise ReturnToQueue
            if (reply := _poll(conversation, stopping)) is not None:
                return reply
    finally:
        conversation.close()
    return None


def _poll(conversation: Conversation, stopping: threading.Event) -> Message | None:
    """The answer; None if no answer has come within POLL_S, if the request reached no portal, or if the broker refused
    it.  After a refusal it waits REFUSED_S.
    """
    try:
        return conversation.next(POLL_S)
    except ReplyTimeout:
        return None
    except Unroutable:  # no portal has ever been connected
        stopping.wait(POLL_S)
        return None
    except MessageRefused:
        stopping.wait(REFUSED_S)
        return None
