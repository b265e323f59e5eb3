"""The subscriptions of an inference worker to its queues, from start to stop.  Loads no torch."""

import logging
import threading
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from dss_broker import topology
from dss_broker.broker import Broker, Delivery
from dss_broker.errors import BrokerClosed
from dss_broker.messages import TicketWithdrawn
from dss_datastore.access import SharedDatastore
from dss_datastore.folder import shared as shared_datastore
from dss_inference.bundle import Bundle
from dss_inference.worker.announcements import Announcements
from dss_inference.worker.computation import Computation
from dss_inference.worker.interest import WithdrawalLog
from dss_inference.worker.progress_replies import ReportedProgress
from dss_inference.worker.recorded_answers import RecordedAnswers
from dss_inference.worker.request import AnswerStep
from dss_inference.worker.request_handler import RequestHandler
from dss_inference.worker.shared_work import SharedWork
from dss_inference.worker.wanted_requests import WantedRequests
from dss_process.supervision import Supervisor

log = logging.getLogger(__name__)

ABANDON_S = 5.0
"""Seconds for which ``QueueServer.stop`` waits for abandoned work to end; a longer stage of the work is not waited for.
"""

NOT_SUBSCRIBED = "The worker does not take requests yet."


class QueueServer:
    """The subscriptions of one worker process, which has one device.  It holds up to ``ahead`` requests of each bundle:
    while one computes on the device, the image of the next is read and the segmentation of the last is written.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        bundles: Iterable[Bundle],
        datastore: Path | SharedDatastore,
        instance: str,
        ahead: int = 2,
        shared: bool = True,
    ) -> None:
        """``shared``: the datastore is the portal's, which may be unavailable for a while.  A path as ``datastore`` is
        the folder of the datastore.
        """
        by_name = {bundle.name: bundle for bundle in bundles}
        self._broker = broker
        self._names = tuple(by_name)
        self._instance = instance
        self._ahead = ahead
        self._withdrawals = WithdrawalLog()
        self._stopping, self._subscribed = threading.Event(), False
        self._announcements = Announcements(broker, by_name.values(), instance, self._stopping)
        self._supervisor = Supervisor(self._stopping)
        self._handler = RequestHandler(
            _answer_steps(by_name),
            self._withdrawals,
            shared_datastore(datastore),
            self._stopping,
            shared=shared,
        )

    def start(self) -> None:
        """Subscribe to withdrawals and to the queue of each bundle, and start the announcements.  Returns when the
        broker delivers messages, or is closed.  Raises BrokerClosed if it is closed before the first subscription.
        """
        self._broker.consume(topology.withdrawn("inference"), self._withdraw)
        self._supervisor.start("announcements", self._announcements.keep_sending)
        begun = [
            self._supervisor.start(f"bundle {n}", partial(self._subscribe, n)) for n in self._names
        ]
        for thread in begun:
            thread.join()
        self._subscribed = True
        log.info("serving", extra={"bundles": sorted(self._names), "instance": self._instance})

    def problems(self) -> list[str]:
        """A sentence for each background thread that has failed, and one if the broker is connected but the queues of
        some bundles are not subscribed.
        """
        early = self._broker.connected and not self._subscribed
        return [*([NOT_SUBSCRIBED] if early else []), *self._supervisor.problems()]

    def stop(self, timeout_s: float) -> bool:
        """Announce the end, take no new requests, and finish those in progress.

        Returns False if some take longer than ``timeout_s``.  These are cancelled, and the broker delivers them to
        another worker when the connection is closed.
        """
        self._stopping.set()
        self._announcements.end()
        if self._broker.stop_consuming(timeout_s):
            return True
        self._withdrawals.abandon_all()
        self._broker.stop_consuming(ABANDON_S)
        return False

    def _subscribe(self, name: str) -> None:
        """Subscribe to the queue of the bundle ``name``, and announce it; returns without if the broker is closed.
        Each bundle has a thread for this, so that a queue that the broker refuses does not delay other bundles.
        """
        if self._announcements.is_served(name):
            return
        with suppress(BrokerClosed):
            self._broker.consume(topology.inference(name, self._ahead), self._handler.handle)
            self._announcements.add(name)

    def _withdraw(self, delivery: Delivery) -> None:
        if isinstance(delivery.message, TicketWithdrawn):
            self._withdrawals.record(delivery.message)


def _answer_steps(bundles: dict[str, Bundle]) -> AnswerStep:
    """Build the chain of steps that answers requests, in the order of ``dss_inference.worker``."""
    computed = ReportedProgress(Computation(bundles))
    return WantedRequests(SharedWork(RecordedAnswers(computed)))
