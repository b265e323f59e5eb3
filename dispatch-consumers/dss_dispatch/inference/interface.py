"""The interface through which a dispatcher has an image segmented, by a worker's queue or a server over HTTP."""

import threading
from typing import Protocol

from dss_broker.messages import InferenceFinished, InferenceProgressed, RunInference
from dss_datastore.access import Access


class ProgressListener(Protocol):
    """Called with the fraction that is done, 0..1, and the current stage in words."""

    def __call__(self, progress: InferenceProgressed, /) -> None: ...


class Inference(Protocol):
    """Runs requests for inference.  Methods may be called from any thread."""

    def run(
        self,
        request: RunInference,
        access: Access,
        *,
        on_progress: ProgressListener,
        withdrawn: threading.Event,
    ) -> InferenceFinished:
        """Run the inference and return its outcome, whose files are then below ``access.root``.  This may take hours.

        Raises TicketError with the reason of a failure, Withdrawn soon after ``withdrawn`` is set, and NoInference if
        no worker can run the request or it gives no sign of life for too long.
        """
