"""The first step of answering a request: drops the request if its requester no longer waits for the answer."""

from dss_broker.messages import InferenceFinished
from dss_inference.errors import Cancelled
from dss_inference.worker.request import AnswerStep, Request, requester_has_gone


class WantedRequests:
    """A step in answering a request: passes it to the next step only if its requester still waits; otherwise raises
    Cancelled.
    """

    def __init__(self, next_step: AnswerStep) -> None:
        self._next_step = next_step

    def answer(self, request: Request) -> InferenceFinished:
        """The answer of the next step.  Raises Cancelled if the request is withdrawn or its requester no longer waits."""
        if request.interest.is_withdrawn() or _came_too_late(request):
            raise Cancelled
        return self._next_step.answer(request)


def _came_too_late(request: Request) -> bool:
    """True if the requester has given up, or was answered by another worker.

    A missing folder alone is no proof, because a shared folder may become visible late.  The request must also be
    redelivered, or so old that the requester has had time to remove the folder.
    """
    age_s = request.delivery.age_s
    is_old = age_s is not None and request.message.silence_s < age_s
    return (request.delivery.redelivered or is_old) and requester_has_gone(
        request.message, request.access
    )
