"""The question for a ticket, asked until a portal answers."""

import logging
import threading
import time
from itertools import chain, repeat

from dss_broker.broker import Broker, Conversation
from dss_broker.errors import HandBack, MessageRefused, ReplyTimeout, Unroutable
from dss_broker.messages import ClaimTicket, Message

log = logging.getLogger(__name__)

ASK_AGAIN_S = (10.0, 10.0, 20.0, 40.0, 60.0)
"""A portal answers in milliseconds; after so long, question or answer may be lost.  The last one repeats."""

REFUSED_S = 5.0

GLANCE_S = 0.5
"""How often the waiting looks whether the program is to stop."""


def ask(broker: Broker, request: ClaimTicket, stopping: threading.Event) -> Message:
    """Wait for a portal, however long none is there: without one there is nothing else to be done.

    The same question gets the same answer, so asking again does no harm.  Raises HandBack when
    ``stopping`` is set, BrokerClosed if the broker was closed.
    """
    patience = chain(ASK_AGAIN_S, repeat(ASK_AGAIN_S[-1]))
    reply = _asked_once(broker, request, next(patience), stopping)
    while reply is None:
        log.warning("no portal answers, asking again", extra={"service": request.service})
        reply = _asked_once(broker, request, next(patience), stopping)
    return reply


def _asked_once(
    broker: Broker, request: ClaimTicket, patience_s: float, stopping: threading.Event
) -> Message | None:
    """None if no answer came within ``patience_s``."""
    ends_s = time.monotonic() + patience_s
    conversation = broker.request(request)
    try:
        while time.monotonic() < ends_s:
            if stopping.is_set():
                raise HandBack
            if (reply := _glance(conversation, stopping)) is not None:
                return reply
    finally:
        conversation.close()
    return None


def _glance(conversation: Conversation, stopping: threading.Event) -> Message | None:
    try:
        return conversation.next(GLANCE_S)
    except ReplyTimeout:
        return None
    except Unroutable:  # no portal has ever been there
        stopping.wait(GLANCE_S)
        return None
    except MessageRefused:  # an operator has to give the right to ask
        stopping.wait(REFUSED_S)
        return None
