"""Inference by the workers that serve a bundle's queue."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from dss_broker.broker import Broker, Conversation
from dss_broker.errors import MessageRefused, ReplyTimeout, Unroutable
from dss_broker.messages import (
    InferenceFailed,
    InferenceFinished,
    InferenceProgressed,
    Message,
    RunInference,
)
from dss_datastore.access import Access
from dss_dispatch.errors import NoInference, TicketError, Withdrawn
from dss_dispatch.inference.interface import ProgressListener
from dss_dispatch.inference.worker_liveness import WorkerLiveness

POLL_S = 0.5
"""Interval in seconds at which a waiting request checks whether its ticket was withdrawn."""

BUSY_S = 20.0
"""Seconds that a request waits for a worker before it is reported that all workers are busy."""

BUSY = "waiting for a worker that is free"


class QueueInference:
    """Implements ``interface.Inference`` with the queue of a bundle's workers.

    Raises NoInference if no worker has ever served the bundle, if the broker refuses the request, or after
    ``silence_s`` seconds without a sign of life.  Before a worker has begun the request, signs of life of any of the
    bundle's workers count; afterwards only those of that worker.
    """

    def __init__(self, broker: Broker, workers: WorkerLiveness, silence_s: float) -> None:
        self._broker = broker
        self._workers = workers
        self._silence_s = silence_s

    def run(
        self,
        request: RunInference,
        access: Access,
        *,
        on_progress: ProgressListener,
        withdrawn: threading.Event,
    ) -> InferenceFinished:
        output_dir = PurePosixPath(request.output_dir)
        access.make(output_dir)
        conversation = self._broker.request(request)
        silence = _Silence(workers=self._workers, limit_s=self._silence_s)
        with closing(conversation), _answered(request.bundle):
            while True:
                match self._next_reply(conversation, withdrawn, silence):
                    case None:
                        on_progress(_busy(request))
                    case InferenceProgressed() as progress:
                        on_progress(progress)
                    case InferenceFinished() as finished:
                        access.fetch(output_dir)
                        return finished
                    case InferenceFailed(reason=reason):
                        raise TicketError(reason)
                    case other:
                        raise TypeError(f"{type(other).__name__} is no reply to an inference")

    def _next_reply(
        self, conversation: Conversation, withdrawn: threading.Event, silence: "_Silence"
    ) -> Message | None:
        """Wait for the next reply.  Returns None every POLL_S seconds while all workers are busy.  Raises Withdrawn,
        and ReplyTimeout after too long a silence.
        """
        while not withdrawn.is_set():
            silence.note(connected=self._broker.connected)
            try:
                reply = conversation.next(max(0.0, min(POLL_S, silence.left_s)))
            except ReplyTimeout:
                if silence.left_s <= 0:
                    raise
                if silence.all_are_busy:
                    return None
            else:
                silence.end()
                return reply
        raise Withdrawn


@dataclass(kw_only=True)
class _Silence:
    """Measures for how many seconds a request has been without a sign of life, on the clock ``time.monotonic``.

    Once a worker has begun the request, only that worker's replies count.  Before that, the request may wait behind
    hours of other requests, and the announcements of any worker count.  After a lost connection to the broker the
    measurement begins again.
    """

    workers: WorkerLiveness
    limit_s: float
    began_s: float = field(default_factory=time.monotonic)
    replied_s: float = -math.inf
    disconnected_s: float = -math.inf

    @property
    def left_s(self) -> float:
        """Seconds until the silence is longer than ``limit_s``; 0 or negative once it is."""
        latest = max(self.began_s, self.replied_s, self.disconnected_s)
        if not self.has_begun:
            latest = max(latest, self.workers.heard_s)
        return latest + self.limit_s - time.monotonic()

    @property
    def has_begun(self) -> bool:
        return self.replied_s > self.began_s

    @property
    def all_are_busy(self) -> bool:
        """True if no worker has begun the request for BUSY_S seconds since it was sent, or since the connection was
        lost.  This does not check whether workers are alive; ``left_s`` does.
        """
        waits_s = time.monotonic() - max(self.began_s, self.disconnected_s)
        return not self.has_begun and waits_s > BUSY_S

    def end(self) -> None:
        """Record that the worker has replied, which ends the silence."""
        self.replied_s = time.monotonic()

    def note(self, *, connected: bool) -> None:
        if not connected:
            self.disconnected_s = time.monotonic()


@contextmanager
def _answered(bundle: str) -> Iterator[None]:
    """A context that turns the errors of a request without an answering worker into NoInference."""
    try:
        yield
    except Unroutable as error:
        raise NoInference(f"No inference worker has ever offered '{bundle}'.") from error
    except MessageRefused as error:
        raise NoInference(f"The request for '{bundle}' cannot be sent: {error}.") from error
    except ReplyTimeout as error:
        raise NoInference(f"No inference worker answers for '{bundle}'.") from error


def _busy(request: RunInference) -> InferenceProgressed:
    return InferenceProgressed(
        ticket_id=request.ticket_id, claim_id=request.claim_id, fraction=0.0, stage=BUSY
    )
