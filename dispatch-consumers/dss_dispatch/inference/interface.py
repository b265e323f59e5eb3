"""The interface through which a dispatcher has an image segmented, by a worker's queue or a server over HTTP."""

import threading
from typing import Protocol

from dss_broker.messages import InferenceFinished, InferenceProgressed, RunInference
from dss_datastore.access import Access


class ProgressListener(Protocol):
    """A function that is called with the fraction that is done, 0 to 1, and the current stage in words."""

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
        """Run the inference and return its outcome; its files are below ``access.root`` then.  This may take hours.

        Raises TicketError with the reason if the inference fails, Withdrawn soon after ``withdrawn`` is set, and
        NoInference if no worker can run the request or the worker gives no sign of life for too long.
        """
