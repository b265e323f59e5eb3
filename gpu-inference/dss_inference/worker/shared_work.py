"""Lets one of several requests for the same work compute, while the others wait and get its progress.

Several requests exist when a ticket moves to another dispatcher while its inference runs.  The answer of the first
request is used for all of them, see ``recorded_answers``; if it gives none, the next request computes.
"""

import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from dss_broker.messages import InferenceFinished, RunInference
from dss_inference.bundle import Progress
from dss_inference.errors import Cancelled
from dss_inference.worker.interest import Interest
from dss_inference.worker.request import AnswerStep, Request

POLL_S = 0.5
"""Interval at which a waiting request checks whether it is still wanted."""


@dataclass(kw_only=True, eq=False)
class WorkTurn:
    """The place of one request in ``queue``, the requests for the same work in their order of arrival.  The first
    request computes.  ``tell`` sends progress to this request.
    """

    tell: Progress
    queue: list["WorkTurn"]
    alone_since_s: float = field(default_factory=time.monotonic)

    def tell_all(self, fraction: float, stage: str) -> None:
        """Send progress to every request in the queue."""
        for turn in tuple(self.queue):
            turn.tell(fraction, stage)

    def alone_s(self) -> float:
        """Seconds for which this request has been alone in the queue; 0 while another one is in it."""
        return 0.0 if len(self.queue) > 1 else time.monotonic() - self.alone_since_s


class SharedWork:
    """A step in answering a request: lets only one of several requests for the same work compute.  Methods may be
    called from any thread.
    """

    def __init__(self, next_step: AnswerStep) -> None:
        self._next_step = next_step
        self._queues: dict[Hashable, list[WorkTurn]] = {}
        self._changed = threading.Condition()

    def answer(self, request: Request) -> InferenceFinished:
        """Wait until the request is the first of its queue, then pass it to the next step and return that step's
        answer.  Raises Cancelled if the request is withdrawn, or the worker stops, while it waits; otherwise the errors
        of the next step.
        """
        with self._turn(request) as turn:
            return self._next_step.answer(
                replace(request, tell=turn.tell_all, alone_s=turn.alone_s)
            )

    @contextmanager
    def _turn(self, request: Request) -> Iterator[WorkTurn]:
        work = _work(request.message)
        turn = self._join(work, request.tell)
        try:
            self._wait(turn, request.interest)
            yield turn
        finally:
            self._leave(work, turn)

    def _join(self, work: Hashable, tell: Progress) -> WorkTurn:
        with self._changed:
            queue = self._queues.setdefault(work, [])
            turn = WorkTurn(tell=tell, queue=queue)
            queue.append(turn)
            return turn

    def _wait(self, turn: WorkTurn, interest: Interest) -> None:
        with self._changed:
            while turn.queue[0] is not turn:
                self._changed.wait(POLL_S)
                if interest.has_ended():
                    raise Cancelled

    def _leave(self, work: Hashable, turn: WorkTurn) -> None:
        with self._changed:
            turn.queue.remove(turn)
            if turn.queue:
                turn.queue[0].alone_since_s = time.monotonic()
            else:
                del self._queues[work]
            self._changed.notify_all()


def _work(message: RunInference) -> Hashable:
    """A key that is equal for all requests for the same work, also of different claims of a ticket."""
    parameters = tuple(sorted(message.parameters.items()))
    return (message.ticket_id, message.bundle, message.image_path, parameters)
