"""One inference, asked of whichever worker has the bundle."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dss_broker.broker import Broker, Conversation
from dss_broker.errors import MessageRefused, ReplyTimeout, Unroutable
from dss_broker.messages import (
    InferenceFailed,
    InferenceFinished,
    InferenceProgressed,
    Message,
    RunInference,
)
from dss_dispatch.errors import NoInference, TicketError, Withdrawn
from dss_dispatch.inference.worker_liveness import Workers

GLANCE_S = 0.5
"""How often the waiting looks whether the ticket was withdrawn."""

BUSY_S = 20.0
"""Who waits longer for a worker than this is told so."""

BUSY = "waiting for a worker that is free"


@dataclass(kw_only=True)
class _Patience:
    """A request in hand is missed by its own worker's silence; one that waits in the queue, behind
    hours of others perhaps, only by that of all workers.  While the broker is away, nobody is.
    """

    workers: Workers
    silence_s: float
    began_s: float = field(default_factory=time.monotonic)
    heard_s: float = -math.inf
    deaf_s: float = -math.inf

    @property
    def left_s(self) -> float:
        latest = max(self.began_s, self.heard_s, self.deaf_s)
        if not self.is_begun:
            latest = max(latest, self.workers.heard_s)
        return latest + self.silence_s - time.monotonic()

    @property
    def is_begun(self) -> bool:
        return self.heard_s > self.began_s

    @property
    def finds_them_busy(self) -> bool:
        waits_s = time.monotonic() - max(self.began_s, self.deaf_s)
        return not self.is_begun and waits_s > BUSY_S

    def hear(self) -> None:
        self.heard_s = time.monotonic()

    def note(self, *, connected: bool) -> None:
        if not connected:
            self.deaf_s = time.monotonic()


def infer(
    broker: Broker,
    workers: Workers,
    request: RunInference,
    *,
    on_progress: Callable[[InferenceProgressed], None],
    withdrawn: threading.Event,
    silence_s: float,
) -> InferenceFinished:
    """Wait for the end of it, hours if need be.

    Raises TicketError with the worker's reason, Withdrawn, or NoInference if there is no worker or
    if nothing is heard for ``silence_s``: of the worker that has begun, or before that of any.
    """
    conversation = broker.request(request)
    patience = _Patience(workers=workers, silence_s=silence_s)
    try:
        while True:
            match _next_reply(broker, conversation, withdrawn, patience):
                case None:
                    on_progress(_busy(request))
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
    except MessageRefused as error:
        raise NoInference(f"The request for '{request.bundle}' cannot be sent: {error}.") from error
    except ReplyTimeout as error:
        raise NoInference(f"No inference worker answers for '{request.bundle}'.") from error
    finally:
        conversation.close()


def _next_reply(
    broker: Broker, conversation: Conversation, withdrawn: threading.Event, patience: _Patience
) -> Message | None:
    """None, every GLANCE_S, while all workers are busy."""
    while not withdrawn.is_set():
        patience.note(connected=broker.connected)
        try:
            reply = conversation.next(max(0.0, min(GLANCE_S, patience.left_s)))
        except ReplyTimeout:
            if patience.left_s <= 0:
                raise
            if patience.finds_them_busy:
                return None
        else:
            patience.hear()
            return reply
    raise Withdrawn


def _busy(request: RunInference) -> InferenceProgressed:
    return InferenceProgressed(
        ticket_id=request.ticket_id, claim_id=request.claim_id, fraction=0.0, stage=BUSY
    )
