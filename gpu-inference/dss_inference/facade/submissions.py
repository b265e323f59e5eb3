"""Runs the requests that were submitted over HTTP, by a QueueServer of this process with a broker in memory."""

import logging
import threading
from collections.abc import Sequence
from contextvars import copy_context
from functools import partial

from dss_broker.errors import BrokerClosed
from dss_broker.memory import MemoryBroker
from dss_broker.messages import (
    InferenceFailed,
    InferenceFinished,
    InferenceProgressed,
    RunInference,
    TicketWithdrawn,
)
from dss_broker.topology import RETRY_DELAYS_S
from dss_inference.bundle import Bundle
from dss_inference.ct.writing import save_as_nrrd
from dss_inference.facade.request_store import RequestStore, StoredAnswer
from dss_inference.worker.replies import failed, progressed
from dss_inference.worker.server import QueueServer
from dss_process.supervision import Supervisor

log = logging.getLogger(__name__)

MOST_UNFINISHED = 64
MOST_STARTS = 3
"""A request that was unfinished when this many processes ended is answered with a failure and not started again,
because it may have ended them.
"""
_A_DAY_S = 86400.0
_PURGE_EVERY_S = 300.0
_GIVEN_UP = (
    "The image ended the service several times while it was worked on; it is not tried again."
)


class Submissions:
    """Runs the requests in ``store``, from their submission to their stored answer.

    Every method may be called from any thread.
    """

    def __init__(
        self, bundles: Sequence[Bundle], store: RequestStore, *, instance: str, keep_s: float
    ) -> None:
        self.bundles = {bundle.name: bundle for bundle in bundles}
        self.store = store
        self._keep_s = keep_s
        self._broker = MemoryBroker(retry_delays_s=RETRY_DELAYS_S)
        self._server = QueueServer(
            broker=self._broker,
            bundles=bundles,
            datastore=store.root,
            instance=instance,
            shared=False,
        )
        self._unfinished: dict[str, InferenceProgressed] = {}
        self._withdrawn: set[str] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._supervisor = Supervisor(self._stopping)

    def start(self) -> None:
        """Start the QueueServer that computes the requests in this process, and begin to remove old results.

        Requests that an earlier process left unfinished are continued; those that MOST_STARTS processes have already
        started fail instead.
        """
        self._server.start()
        for request in self.store.unanswered():
            if self.store.count_start(request.claim_id) > MOST_STARTS:
                self._store(request, failed(request, _GIVEN_UP))
            else:
                self._run(request)
        self._supervisor.start("purge", self._keep_purging)

    def stop(self, timeout_s: float) -> bool:
        """Stop the server.  Returns False if a request is unfinished after ``timeout_s``; it is cancelled, and the next
        process starts it again.
        """
        self._stopping.set()
        done = self._server.stop(timeout_s)
        self._broker.close()
        return done

    @property
    def is_full(self) -> bool:
        return len(self._unfinished) >= MOST_UNFINISHED

    def submit(
        self, result_id: str, bundle: str, image_name: str, parameters: dict[str, str]
    ) -> None:
        """Store a request durably and start it.  Its image, ``image_name``, is already in the folder of ``result_id``,
        and ``bundle`` is in ``bundles``.  Raises OSError.
        """
        request = RunInference(
            ticket_id=int(result_id[:12], 16),
            claim_id=result_id,
            bundle=bundle,
            image_path=f"{result_id}/{image_name}",
            output_dir=f"{result_id}/output",
            parameters=parameters,
        )
        self.store.keep_request(request)
        self.store.count_start(result_id)
        self._run(request)

    def progress(self, result_id: str) -> InferenceProgressed | None:
        """The latest progress of an unfinished request; None if it is answered or unknown."""
        return self._unfinished.get(result_id)

    def withdraw(self, result_id: str) -> None:
        """Remove the files of a request that is not in progress.  Of one in progress only ask for its end, without
        waiting; its files are removed when it has ended.
        """
        with self._lock:
            progress = self._unfinished.get(result_id)
            if progress is None:
                self.store.remove(result_id)
                return
            self._withdrawn.add(result_id)
        self._broker.publish(TicketWithdrawn(ticket_id=progress.ticket_id, service=""))

    def _run(self, request: RunInference) -> None:
        self._unfinished[request.claim_id] = progressed(request, 0.0, "waiting")
        follow = partial(copy_context().run, self._follow, request)  # in the same trace
        threading.Thread(target=follow, name="follow", daemon=True).start()

    def _follow(self, request: RunInference) -> None:
        """Wait for the answer to ``request`` and store it; then remove the request's files if it was withdrawn.  If the
        process stops first, nothing is stored.  If storing fails, that is logged, and the next process runs the request
        again.
        """
        try:
            self._store(request, self._final_reply(request))
        except BrokerClosed:
            return
        except Exception:
            log.exception("result not kept", extra={"ticket": request.ticket_id})
        with self._lock:
            del self._unfinished[request.claim_id]
            if request.claim_id in self._withdrawn:
                self._withdrawn.remove(request.claim_id)
                self.store.remove(request.claim_id)

    def _final_reply(self, request: RunInference) -> InferenceFinished | InferenceFailed:
        conversation = self._broker.request(request)
        try:
            while True:
                match conversation.next(_A_DAY_S):
                    case InferenceProgressed() as progress:
                        self._unfinished[request.claim_id] = progress
                    case InferenceFinished() | InferenceFailed() as answer:
                        return answer
                    case other:
                        raise TypeError(f"{type(other).__name__} is no reply to an inference")
        finally:
            conversation.close()

    def _store(self, request: RunInference, answer: InferenceFinished | InferenceFailed) -> None:
        if isinstance(answer, InferenceFailed):
            self.store.keep_answer(request.claim_id, StoredAnswer(failed=answer))
            return
        segmentation = self.store.segmentation(request.claim_id)
        save_as_nrrd(self.store.root / answer.segmentation_path, segmentation)
        self.store.keep_answer(request.claim_id, StoredAnswer(finished=answer))
        (self.store.root / request.image_path).unlink(missing_ok=True)

    def _keep_purging(self) -> None:
        while True:
            try:
                if removed := self.store.purge(self._keep_s):
                    log.info("old results removed", extra={"results": removed})
            except OSError:  # the volume may be away for a while
                log.exception("old results not removed")
            if self._stopping.wait(_PURGE_EVERY_S):
                return
