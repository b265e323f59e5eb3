"""The worker: takes requests from the broker, runs bundles, answers.  Knows no torch."""

import errno
import logging
import threading
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Broker, Delivery
from dss_broker.errors import BrokerClosed, HandBack, MessageRefused, TryAgainLater, Unroutable
from dss_broker.liveness import ANNOUNCE_S
from dss_datastore.volume import is_there, make_folder, wait_until_there
from dss_inference.bundle import Bundle, Report
from dss_inference.errors import Cancelled, InferenceError
from dss_inference.worker.progress_replies import Reporter
from dss_inference.worker.recorded_answers import earlier_answer, record
from dss_inference.worker.replies import failed, progressed
from dss_inference.worker.shared_work import Joint, Turn
from dss_inference.worker.withdrawal_log import Withdrawals
from dss_observability import metrics, tracing
from dss_process.supervision import Keeper

log = logging.getLogger(__name__)

UNHEARD_S = 1.0
CONFIRM_S = 60.0
"""The broker has an answer after so long, or the request is tried again, and its outcome found on disk."""
ABANDON_S = 5.0
"""What is abandoned ends within that, unless a stage is long."""
SUCCESSION_S = 10.0
"""Who takes a ticket over asks for the same work within that; until then what is being computed goes on."""
UNEXPECTED = (
    "The segmentation failed for a reason that the service did not foresee; "
    "please tell its operator the number of this ticket."
)
EXHAUSTED = "The service ran out of memory or disk space; please tell its operator."
WITHDRAWN = "The ticket was withdrawn."


class Server:
    """One process, one device.  Of each bundle up to ``ahead`` requests are in hand: while one is on the
    device, the next is read and the last is written.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        bundles: Iterable[Bundle],
        datastore: Path,
        instance: str,
        ahead: int = 2,
        shared: bool = True,
    ) -> None:
        """``shared``: the datastore is the portal's, on a volume that may be away."""
        self._broker = broker
        self._bundles = {bundle.name: bundle for bundle in bundles}
        self._datastore = datastore.resolve()
        self._instance, self._shared = instance, shared
        self._withdrawals = Withdrawals()
        self._ahead = ahead
        self._joint = Joint()
        self._stopping, self._abandoned = threading.Event(), threading.Event()
        self._announcing = threading.Lock()
        self._served: set[str] = set()
        self._news = threading.Event()
        self._keeper = Keeper(self._stopping)

    def start(self) -> None:
        """Returns when the broker delivers."""
        self._broker.consume(topology.withdrawn("inference"), self._withdraw)
        self._keeper.keep("announcements", self._announce)
        begun = [
            self._keeper.keep(f"bundle {n}", partial(self._subscribe, n)) for n in self._bundles
        ]
        for thread in begun:
            thread.join()
        log.info("serving", extra={"bundles": sorted(self._bundles), "instance": self._instance})

    def problems(self) -> list[str]:
        """A sentence for each thing of its own that does not go on as it should."""
        return self._keeper.problems()

    def stop(self, timeout_s: float) -> bool:
        """Takes nothing new, says so, and finishes what is in hand.  What takes longer ends at its next
        window; then the answer is False, and closing the broker gives it to another worker.
        """
        self._stopping.set()
        self._news.set()
        self._say_goodbye()
        if self._broker.stop_consuming(timeout_s):
            return True
        self._abandoned.set()
        self._broker.stop_consuming(ABANDON_S)
        return False

    def _subscribe(self, name: str) -> None:
        """In a thread of its own: a bundle whose queue the broker refuses holds no other."""
        if name in self._served:
            return
        with suppress(BrokerClosed):
            self._broker.consume(topology.inference(name, self._ahead), self._handle)
            self._served.add(name)
            self._news.set()

    def _withdraw(self, delivery: Delivery) -> None:
        if isinstance(delivery.message, m.TicketWithdrawn):
            self._withdrawals.note(delivery.message)

    def _announce(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            self._news.wait(ANNOUNCE_S if self._tell_all() else UNHEARD_S)

    def _tell_all(self) -> bool:
        """Tell portal and dispatchers of every bundle that is served.  False if that can reach no portal yet."""
        with self._announcing:
            return not self._stopping.is_set() and self._tell(ends=False)

    def _say_goodbye(self) -> None:
        with self._announcing:
            self._tell(ends=True)

    def _tell(self, *, ends: bool) -> bool:
        if not self._broker.connected:
            return False
        sent = [
            self._broker.publish(
                m.WorkerAnnounced(
                    bundle=b.name, instance=self._instance, device=b.device, ends=ends
                )
            )
            for b in self._bundles.values()
            if b.name in self._served
        ]
        try:
            for confirmed in sent:
                confirmed.result(timeout=UNHEARD_S)
        except (Unroutable, MessageRefused, BrokerClosed, TimeoutError):
            return False
        return True

    def _handle(self, delivery: Delivery) -> None:
        request = delivery.message
        if not isinstance(request, m.RunInference):
            raise TypeError(f"{type(request).__name__} is no request for inference")
        if self._shared and not wait_until_there(self._datastore, self._stopping):
            raise HandBack
        with metrics.INFERENCE_IN_HAND.labels(request.bundle).track_inprogress():
            reply = self._reply(delivery, request)
        try:
            delivery.reply(reply).result(timeout=CONFIRM_S)
        except TimeoutError as error:
            raise TryAgainLater("RabbitMQ does not take the answer") from error

    def _reply(
        self, delivery: Delivery, request: m.RunInference
    ) -> m.InferenceFinished | m.InferenceFailed:
        """Raises TryAgainLater where memory or disk space ran out, or the datastore did; HandBack when the
        worker is stopped.
        """
        try:
            return self._answer(delivery, request)
        except Exception as error:
            if self._shared and not is_there(self._datastore):
                log.warning("datastore lost", extra={**_facts(request), "reason": repr(error)})
                raise TryAgainLater("the datastore is away") from error
            return self._ended_by(error, delivery, request)

    def _ended_by(
        self, error: Exception, delivery: Delivery, request: m.RunInference
    ) -> m.InferenceFailed:
        """Raises like ``_reply``."""
        facts = _facts(request)
        match error:
            case InferenceError():
                _count(request, "refused")
                log.info("inference refused", extra={**facts, "reason": str(error)})
                return failed(request, str(error))
            case Cancelled() if self._abandoned.is_set():
                raise HandBack from None
            case _ if isinstance(error, Cancelled) or self._is_folder_gone(request):
                return _cancelled(request)
            case _ if _is_exhaustion(error):
                self._put_off(delivery, request, error)
        _count(request, "failed")
        log.error("inference failed", extra=facts, exc_info=error)
        return failed(request, UNEXPECTED)

    def _put_off(self, delivery: Delivery, request: m.RunInference, error: Exception) -> NoReturn:
        """Memory and disks recover, so try again; the requester hears when that has not helped."""
        _count(request, "put_off")
        log.warning("memory or disk is short", extra={**_facts(request), "reason": str(error)})
        if delivery.attempt > len(topology.RETRY_DELAYS_S):
            delivery.reply(failed(request, EXHAUSTED))
        else:
            delivery.reply(progressed(request, 0.0, "waiting for memory or disk space"))
        raise TryAgainLater(f"{type(error).__name__} in {request.bundle}") from error

    def _answer(self, delivery: Delivery, request: m.RunInference) -> m.InferenceFinished:
        image_path = self._inside(request.image_path)
        output_dir = self._inside(request.output_dir)
        if self._is_over(request) or self._came_too_late(delivery, request):
            raise Cancelled

        def tell(fraction: float, stage: str) -> None:
            delivery.reply(progressed(request, fraction, stage))

        def cancelled() -> bool:
            return self._is_over(request) or self._abandoned.is_set()

        with self._joint.turn(request, tell, cancelled) as turn:
            earlier = earlier_answer(output_dir, request, self._datastore)
            if earlier is not None:
                _count(request, "repeated")
                log.info("inference finished before", extra=_facts(request))
                return earlier
            if not image_path.is_file():
                raise InferenceError("The image is not in the datastore.")
            make_folder(output_dir)
            finished = self._computed(turn, request, image_path, output_dir)
            record(output_dir, request, finished, self._datastore)
        _count(request, "finished")
        _note_stages(request, finished)
        return finished

    def _computed(
        self, turn: Turn, request: m.RunInference, image_path: Path, output_dir: Path
    ) -> m.InferenceFinished:
        bundle = self._bundles[request.bundle]

        def cancelled() -> bool:
            return self._is_unwanted(request, turn) or self._abandoned.is_set()

        with Reporter(turn.tell_all) as report, tracing.Steps(_attributes(request)) as steps:

            def progress(fraction: float, stage: str) -> None:
                steps.enter(stage)
                report(fraction, stage)

            outcome = bundle.run(image_path, output_dir, request.parameters, progress, cancelled)
        return m.InferenceFinished(
            ticket_id=request.ticket_id,
            claim_id=request.claim_id,
            segmentation_path=outcome.segmentation.relative_to(self._datastore).as_posix(),
            labels=outcome.labels,
            notes=outcome.notes,
            device=bundle.device,
            stage_seconds=outcome.stage_seconds,
            peak_memory_bytes=outcome.peak_memory_bytes,
            landmarks=outcome.landmarks,
            reports=tuple(self._report(report) for report in outcome.reports),
        )

    def _report(self, report: Report) -> m.ReportFile:
        return m.ReportFile(
            path=report.path.relative_to(self._datastore).as_posix(),
            description=report.description,
            mime_type=report.mime_type,
        )

    def _is_over(self, request: m.RunInference) -> bool:
        """Was the ticket deleted, or its claim ended, so that nobody waits for the answer?"""
        is_lost = self._withdrawals.lost_s(request.ticket_id, request.claim_id) is not None
        return is_lost or self._withdrawals.is_deleted(request.ticket_id)

    def _is_unwanted(self, request: m.RunInference, turn: Turn) -> bool:
        """Is nobody left who wants what is being computed?"""
        if self._withdrawals.is_deleted(request.ticket_id):
            return True
        lost_s = self._withdrawals.lost_s(request.ticket_id, request.claim_id)
        return lost_s is not None and min(lost_s, turn.alone_s) > SUCCESSION_S

    def _came_too_late(self, delivery: Delivery, request: m.RunInference) -> bool:
        """Has the requester given up, or got its answer from another worker?

        Two signs are asked for, since a shared folder may show late: its requester has removed the
        folder, and had the time to, because the request is old or somebody has begun with it before.
        """
        age_s = delivery.age_s
        is_old = delivery.redelivered or (age_s is not None and request.silence_s < age_s)
        return is_old and self._is_folder_gone(request)

    def _is_folder_gone(self, request: m.RunInference) -> bool:
        """Requesters that set ``silence_s`` make the folder first, and remove it when nobody waits any more."""
        return request.silence_s > 0 and not self._inside(request.output_dir).is_dir()

    def _inside(self, relative: str) -> Path:
        """Raises InferenceError for a path that leaves the datastore, by links too."""
        path = (self._datastore / relative).resolve()
        if not path.is_relative_to(self._datastore) or path == self._datastore:
            raise InferenceError("The request names a place outside the datastore.")
        return path


def _facts(request: m.RunInference) -> dict[str, object]:
    return {"ticket": request.ticket_id, "claim": request.claim_id, "bundle": request.bundle}


def _attributes(request: m.RunInference) -> tracing.Attributes:
    return {f"dss.{name}": str(value) for name, value in _facts(request).items()}


def _count(request: m.RunInference, outcome: str) -> None:
    metrics.INFERENCE_REQUESTS.labels(request.bundle, outcome).inc()


def _note_stages(request: m.RunInference, finished: m.InferenceFinished) -> None:
    for stage, seconds in finished.stage_seconds.items():
        metrics.INFERENCE_STAGE_SECONDS.labels(request.bundle, stage).observe(seconds)
    total_s = round(sum(finished.stage_seconds.values()), 2)
    log.info("inference finished", extra={**_facts(request), "seconds": total_s})


def _cancelled(request: m.RunInference) -> m.InferenceFailed:
    _count(request, "cancelled")
    log.info("inference cancelled", extra=_facts(request))
    return failed(request, WITHDRAWN)


def _is_exhaustion(error: Exception) -> bool:
    """Memory or disk space that may be there again in a while."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or isinstance(error, MemoryError)
