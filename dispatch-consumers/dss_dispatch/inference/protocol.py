"""What a dispatcher asks of inference, wherever that runs."""

import threading
from typing import Protocol

from dss_broker.messages import InferenceFinished, InferenceProgressed, RunInference


class ProgressListener(Protocol):
    def __call__(self, progress: InferenceProgressed, /) -> None: ...


class Inference(Protocol):
    """Runs the requests of one service."""

    def run(
        self,
        request: RunInference,
        *,
        on_progress: ProgressListener,
        withdrawn: threading.Event,
    ) -> InferenceFinished:
        """Wait for the end of the inference, hours if need be.

        Raises TicketError with the reason of a failure, Withdrawn soon after ``withdrawn`` is set, and
        NoInference if nothing can run the request or if it is silent for too long.
        """
