"""Handles each request, and decides its outcome: a reply, a retry or a requeue."""

import logging
import threading
from concurrent.futures import Future
from functools import partial
from typing import NoReturn

from dss_broker.broker import Delivery
from dss_broker.errors import ReturnToQueue, TryAgainLater
from dss_broker.messages import (
    InferenceFailed,
    InferenceFinished,
    RunInference,
)
from dss_broker.topology import RETRY_DELAYS_S
from dss_datastore.access import Access, SharedDatastore, WorkEnded, wait_until_there
from dss_datastore.space import is_disk_full
from dss_datastore.volume import is_away
from dss_inference.errors import Cancelled, InferenceError
from dss_inference.worker.interest import Interest, WithdrawalLog
from dss_inference.worker.replies import failed, progressed
from dss_inference.worker.request import AnswerStep, Request, inside, requester_has_gone
from dss_observability import metrics

log = logging.getLogger(__name__)

CONFIRM_S = 60.0
"""Longest wait in seconds for the broker to store a reply.  After it the request is retried; the retry finds the answer
that was recorded on disk.
"""
UNEXPECTED = (
    "The segmentation failed for a reason that the service did not foresee; "
    "please tell its operator the number of this ticket."
)
TOO_LARGE = (
    "The algorithm found more labels, landmarks or remarks than can be told, so the segmentation was not kept. Please tell "
    "the operator of the service."
)
EXHAUSTED = "The service ran out of memory or disk space; please tell its operator."
WITHDRAWN = "The ticket was withdrawn."


class RequestHandler:
    """Handles the messages of the subscription ``topology.inference``: requests to run a bundle."""

    def __init__(
        self,
        answers: AnswerStep,
        withdrawals: WithdrawalLog,
        datastore: SharedDatastore,
        stopping: threading.Event,
        *,
        shared: bool,
    ) -> None:
        """``shared``: the datastore is the portal's, which may be unavailable for a while; False for a folder of this
        process.
        """
        self._answers = answers
        self._withdrawals = withdrawals
        self._datastore = datastore
        self._stopping = stopping
        self._shared = shared

    def handle(self, delivery: Delivery) -> None:
        message = delivery.message
        if not isinstance(message, RunInference):
            raise TypeError(f"{type(message).__name__} is no request for inference")
        if self._shared:
            wait_until_there(self._datastore, self._stopping)
        with metrics.INFERENCE_IN_HAND.labels(message.bundle).track_inprogress():
            reply = self._reply(delivery, message)
        try:
            _sent(delivery, message, reply).result(timeout=CONFIRM_S)
        except TimeoutError as error:
            raise TryAgainLater("RabbitMQ does not take the answer") from error

    def _reply(
        self, delivery: Delivery, message: RunInference
    ) -> InferenceFinished | InferenceFailed:
        """The reply to ``message``: the answer, or a failure if the request is refused, withdrawn or fails.  Raises
        TryAgainLater if memory, disk space or the datastore is missing, ReturnToQueue if the worker stops.
        """
        interest = Interest(
            log=self._withdrawals, ticket_id=message.ticket_id, claim_id=message.claim_id
        )
        try:
            with self._datastore.access(interest.has_ended) as access:
                return self._answer(delivery, message, interest, access)
        except OSError as error:  # the files cannot be stored, or the datastore cannot tell whether they are wanted
            if is_disk_full(error):
                _put_off(delivery, message, error)
            log.warning("datastore lost", extra={**_facts(message), "reason": repr(error)})
            raise TryAgainLater("the datastore is away") from error

    def _answer(
        self, delivery: Delivery, message: RunInference, interest: Interest, access: Access
    ) -> InferenceFinished | InferenceFailed:
        try:
            return self._answers.answer(_request(delivery, message, interest, access))
        except Exception as error:
            if self._shared and (is_away(error) or self._datastore.problem()):
                log.warning("datastore lost", extra={**_facts(message), "reason": repr(error)})
                raise TryAgainLater("the datastore is away") from error
            return self._ended_by(error, delivery, message, access)

    def _ended_by(
        self, error: Exception, delivery: Delivery, message: RunInference, access: Access
    ) -> InferenceFailed:
        """The reply to a request that raised ``error``: the reason of an InferenceError, WITHDRAWN if the answer is not
        wanted any more, otherwise UNEXPECTED, which is logged.  Raises ReturnToQueue if the worker has abandoned its
        requests, TryAgainLater if memory or disk space is missing.
        """
        facts = _facts(message)
        match error:
            case InferenceError():
                _count(message, "refused")
                log.info("inference refused", extra={**facts, "reason": str(error)})
                return failed(message, str(error))
            case Cancelled() | WorkEnded() if self._withdrawals.has_abandoned_all:
                raise ReturnToQueue from None
            case _ if isinstance(error, Cancelled | WorkEnded) or _has_gone(message, access):
                _count(message, "cancelled")
                log.info("inference cancelled", extra=facts)
                return failed(message, WITHDRAWN)
            case _ if _is_exhaustion(error):
                _put_off(delivery, message, error)
        _count(message, "failed")
        log.error("inference failed", extra=facts, exc_info=error)
        return failed(message, UNEXPECTED)


def _sent(
    delivery: Delivery, message: RunInference, reply: InferenceFinished | InferenceFailed
) -> "Future[None]":
    """Send ``reply`` or, if it is larger than a message may be, a failure in its place; otherwise every attempt would
    fail in the same way, and the requester would wait in vain.
    """
    try:
        return delivery.reply(reply)
    except ValueError:
        log.exception("answer not sent", extra=_facts(message))
        return delivery.reply(failed(message, TOO_LARGE))


def _request(
    delivery: Delivery, message: RunInference, interest: Interest, access: Access
) -> Request:
    """The request in a message.  Raises InferenceError if it names files outside the datastore."""
    return Request(
        message=message,
        delivery=delivery,
        access=access,
        image_path=inside(access.root, message.image_path),
        output_dir=inside(access.root, message.output_dir),
        interest=interest,
        tell=partial(_send_progress, delivery, message),
        facts=_facts(message),
    )


def _has_gone(message: RunInference, access: Access) -> bool:
    inside(access.root, message.output_dir)
    return requester_has_gone(message, access)


def _send_progress(delivery: Delivery, message: RunInference, fraction: float, stage: str) -> None:
    delivery.reply(progressed(message, fraction, stage))


def _put_off(delivery: Delivery, message: RunInference, error: Exception) -> NoReturn:
    """Raise TryAgainLater, because memory or disk space may become free.  The requester is told that the request waits
    or, if this was the last attempt, that it has failed.
    """
    _count(message, "put_off")
    log.warning("memory or disk is short", extra={**_facts(message), "reason": str(error)})
    if delivery.attempt > len(RETRY_DELAYS_S):
        delivery.reply(failed(message, EXHAUSTED))
    else:
        delivery.reply(progressed(message, 0.0, "waiting for memory or disk space"))
    raise TryAgainLater(f"{type(error).__name__} in {message.bundle}") from error


def _facts(message: RunInference) -> dict[str, object]:
    """The facts that identify a request in logs and traces; no patient data."""
    return {"ticket": message.ticket_id, "claim": message.claim_id, "bundle": message.bundle}


def _count(message: RunInference, outcome: str) -> None:
    metrics.INFERENCE_REQUESTS.labels(message.bundle, outcome).inc()


def _is_exhaustion(error: Exception) -> bool:
    """True for missing memory or disk space, which may become free later."""
    return is_disk_full(error) or isinstance(error, MemoryError)
