"""One inference, asked of whichever worker has the bundle."""

import threading
import time
from collections.abc import Callable

from dss_broker.broker import Broker, Conversation
from dss_broker.errors import ReplyTimeout, Unroutable
from dss_broker.messages import (
    InferenceFailed,
    InferenceFinished,
    InferenceProgressed,
    Message,
    RunInference,
)
from dss_dispatch.errors import NoInference, TicketError, Withdrawn

GLANCE_S = 0.5
"""How often the waiting looks whether the ticket was withdrawn."""


def infer(
    broker: Broker,
    request: RunInference,
    *,
    on_progress: Callable[[InferenceProgressed], None],
    withdrawn: threading.Event,
    silence_s: float,
) -> InferenceFinished:
    """Wait for the end of it, hours if need be.

    Raises TicketError with the worker's reason, Withdrawn, or NoInference if there is no worker or
    if nothing is heard for ``silence_s``.
    """
    conversation = broker.request(request)
    try:
        while True:
            match _next_reply(conversation, withdrawn, silence_s):
                case InferenceProgressed() as progress:
                    on_progress(progress)
                case InferenceFinished() as finished:
                    return finished
                case InferenceFailed(reason=reason):
                    raise TicketError(reason)
                case other:
                    raise TypeError(f"{type(other).__name__} is no reply to an inference")
    except Unroutable as error:
        raise NoInference(f"No inference worker has ever offered '{request.bundle}'.") from error
    except ReplyTimeout as error:
        raise NoInference(f"No inference worker answers for '{request.bundle}'.") from error
    finally:
        conversation.close()


def _next_reply(
    conversation: Conversation, withdrawn: threading.Event, silence_s: float
) -> Message:
    deadline = time.monotonic() + silence_s
    while True:
        if withdrawn.is_set():
            raise Withdrawn
        left_s = deadline - time.monotonic()
        try:
            return conversation.next(max(0.0, min(GLANCE_S, left_s)))
        except ReplyTimeout:
            if left_s <= GLANCE_S:
                raise
