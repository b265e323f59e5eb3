"""A request for inference inside the worker, and the interface of the steps that answer it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from dss_broker.broker import Delivery
from dss_broker.messages import InferenceFinished, RunInference
from dss_datastore.access import Access
from dss_inference.bundle import Progress
from dss_inference.errors import InferenceError
from dss_inference.worker.interest import Interest


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request for inference inside the worker.  ``image_path`` and ``output_dir`` are below ``access.root``.

    ``tell`` receives the progress.  ``alone_s`` returns the seconds for which no other request has wanted the same
    work.  ``facts`` identify the request in logs and traces.
    """

    message: RunInference
    delivery: Delivery
    access: Access
    image_path: Path
    output_dir: Path
    interest: Interest
    tell: Progress
    facts: Mapping[str, object]
    alone_s: Callable[[], float] = lambda: math.inf


class AnswerStep(Protocol):
    """One step in answering a request.  It may pass the request on to the next step."""

    def answer(self, request: Request) -> InferenceFinished:
        """The finished inference.  Raises InferenceError (a sentence for the user), Cancelled or WorkEnded if it is not
        wanted any more, MemoryError, OSError.
        """


def inside(datastore: Path, relative: str) -> Path:
    """The path of ``relative``, a path in a message, in ``datastore``.  Raises InferenceError if it leads out of the
    datastore, also through links, or is the datastore itself.
    """
    path = (datastore / relative).resolve()
    if not path.is_relative_to(datastore) or path == datastore:
        raise InferenceError("The request names a place outside the datastore.")
    return path


def requester_has_gone(message: RunInference, access: Access) -> bool:
    """True if the requester no longer waits, because the request's output folder does not exist: requesters that set
    ``silence_s`` create it, and remove it when they stop waiting.  False for requests without ``silence_s``.
    """
    return message.silence_s > 0 and not access.is_made(PurePosixPath(message.output_dir))
