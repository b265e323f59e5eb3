"""Takes the tickets of one service from its queue and processes them.  Each thread handles one delivery at a time."""

import logging
import threading
from pathlib import Path

from dss_broker.broker import Broker, Delivery
from dss_broker.errors import BrokerClosed, ReturnToQueue
from dss_broker.liveness import ANNOUNCE_S
from dss_broker.messages import (
    ClaimGranted,
    ClaimRefused,
    ClaimTicket,
    ServiceAnnounced,
    TicketReady,
)
from dss_broker.topology import dispatch, withdrawn, workers
from dss_datastore.access import SharedDatastore, wait_until_there
from dss_datastore.folder import shared
from dss_dispatch.announcements import CONFIRM_TIMEOUT_S, Announcements
from dss_dispatch.claim import ClaimedTicket
from dss_dispatch.claim_events import ClaimEvents
from dss_dispatch.claim_request import request_claim
from dss_dispatch.endings import OUTCOMES, end_claim, outcome_of
from dss_dispatch.inference.http_inference import HttpInference
from dss_dispatch.inference.interface import Inference
from dss_dispatch.inference.queue_inference import QueueInference
from dss_dispatch.inference.worker_liveness import WorkerLiveness
from dss_dispatch.result.check_requests import serve_checks
from dss_dispatch.service import Service
from dss_dispatch.uploads.handling import READ_LIMITS, ReadLimits, UploadReader
from dss_dispatch.withdrawals import ClaimWatch, Withdrawals
from dss_observability import metrics, tracing
from dss_observability.logs import add_log_facts

log = logging.getLogger(__name__)

SUCCESS = "success"
NOT_SUBSCRIBED = "The dispatcher does not take tickets yet."


class Consumer:
    """The dispatcher of one service, in one process."""

    def __init__(
        self,
        broker: Broker,
        service: Service,
        datastore: Path | SharedDatastore,
        *,
        provider: str,
        instance: str,
        silence_s: float,
        service_url: str = "",
        proxy: str = "",
        reads: ReadLimits = READ_LIMITS,
    ) -> None:
        """``service_url`` is the address of an inference server; "" for the queue of the bundle's workers.  ``proxy`` is
        the address of the proxy for that server; "" for a direct connection.
        ``datastore`` may be the path of its folder.  ``silence_s`` is the time in seconds after which a worker without
        a sign of life is given up.  ``reads`` limits the reading of an upload.
        """
        self._broker = broker
        self._service = service
        self._datastore = shared(datastore)
        self._provider, self._instance = provider, instance
        self._silence_s = silence_s
        self._withdrawals, self._workers = Withdrawals(), WorkerLiveness()
        self._inference: Inference = (
            HttpInference(service_url, silence_s, proxy)
            if service_url
            else QueueInference(broker, self._workers, silence_s)
        )
        self._bundle = "" if service_url else service.dispatch.algorithm
        self._stopping = threading.Event()
        self._announcements = Announcements(broker, self._announced(), self._stopping)
        self._uploads = UploadReader(broker, datastore, reads, instance, self._stopping)
        self._reached_portal = self._subscribed = False

    def start(self, *, parallel: int) -> None:
        """Subscribe, and process up to ``parallel`` tickets at a time.  A repeated call only announces the service."""
        if not self._subscribed:
            self._subscribe(parallel)
        # Announce only after subscribing, because from then on users may choose the service.
        self._reached_portal = self._announcements.publish()

    def _subscribe(self, parallel: int) -> None:
        self._create_metrics()
        self._announcements.state_parallel(parallel)
        self._broker.consume(withdrawn("dispatch"), self._withdrawals.handle)
        if self._bundle:
            self._broker.consume(workers("dispatch", self._bundle), self._workers.handle)
        serve_checks(self._broker, self._datastore)
        self._uploads.start()
        self._broker.consume(dispatch(self._service.name, prefetch=parallel), self.handle)
        self._subscribed = True

    def stop(self, timeout_s: float) -> bool:
        """Take no new tickets, announce that, and finish those in progress.  False if some take longer than
        ``timeout_s`` seconds.
        """
        self._stopping.set()
        self._announcements.end()
        self._uploads.announce(ends=True)
        return self._broker.stop_consuming(timeout_s)

    def keep_announcing(self) -> None:
        """Announce the service until stopped: every ANNOUNCE_S seconds, or every CONFIRM_TIMEOUT_S seconds while no portal
        receives the announcements.
        """
        while not self._stopping.wait(ANNOUNCE_S if self._reached_portal else CONFIRM_TIMEOUT_S):
            self._workers.note(connected=self._broker.connected)
            self._reached_portal = self._announcements.publish()
            self._uploads.announce()

    def problems(self) -> list[str]:
        """A sentence if the broker is connected but delivers no tickets to this program yet, or if no worker of the
        bundle's queue is alive; otherwise [].
        """
        self._workers.note(connected=self._broker.connected)
        if not self._subscribed:
            return [NOT_SUBSCRIBED] if self._broker.connected else []
        if not self._bundle or not self._workers.are_missing:
            return []
        return [f"No inference worker is at work for '{self._bundle}'."]

    def _announced(self) -> ServiceAnnounced:
        return ServiceAnnounced(
            service=self._service.name,
            provider=self._provider,
            instance=self._instance,
            descriptor=self._service.descriptor.published,
            bundle=self._bundle,
        )

    def handle(self, delivery: Delivery) -> None:
        """Handle a message of the subscription ``topology.dispatch``: claim a ticket and process it.  The portal may
        grant another ticket than the message names, or none.

        Waits while the datastore is away.  Raises ReturnToQueue if the program stops before the claim, and
        TryAgainLater or BrokerClosed if the delivery is to be retried.
        """
        ready = delivery.message
        if not isinstance(ready, TicketReady):
            raise TypeError(f"{type(ready).__name__} is no ticket")
        if not wait_until_there(self._datastore, self._stopping):
            raise ReturnToQueue
        # Watch before the claim is requested, so that a withdrawal in between is not missed.
        with self._withdrawals.watch() as watch:
            claim = self._claim(ready, delivery)
            if claim is not None:
                with tracing.in_span_of(tracing.given_or_current(claim.traceparent)):
                    self._work(claim, delivery, watch)

    def _claim(self, ready: TicketReady, delivery: Delivery) -> ClaimGranted | None:
        """Request the claim; None if the portal refuses it."""
        request = ClaimTicket(
            ticket_id=ready.ticket_id,
            service=ready.service,
            provider=self._provider,
            instance=self._instance,
            delivery_id=delivery.message_id,
            deliveries=delivery.deliveries,
        )
        stage = metrics.DISPATCH_STAGE_SECONDS.labels(self._service.name, "claim")
        with tracing.span("claim", attributes={"dss.ticket": ready.ticket_id}), stage.time():
            reply = request_claim(self._broker, request, self._stopping)
        if isinstance(reply, ClaimGranted):
            return reply
        if not isinstance(reply, ClaimRefused):
            raise TypeError(f"{type(reply).__name__} is no answer to a claim")
        log.info("claim refused", extra={"ticket": ready.ticket_id, "reason": reply.reason})
        return None

    def _work(self, claim: ClaimGranted, delivery: Delivery, watch: ClaimWatch) -> None:
        facts = {"ticket": claim.ticket_id, "claim": claim.claim_id}
        add_log_facts(**facts)
        log.info("ticket claimed", extra={**facts, "attempt": claim.attempt})
        withdrawn, events = watch.start(claim), ClaimEvents(self._broker, claim)
        try:
            with self._datastore.access(withdrawn.is_set) as access:
                ticket = ClaimedTicket(
                    claim=claim,
                    service=self._service,
                    access=access,
                    events=events,
                    inference=self._inference,
                    withdrawn=withdrawn,
                    silence_s=self._silence_s,
                )
                self._process(ticket, delivery, watch)
        except OSError as error:  # the claim's folder cannot be made, so no work has begun
            self._count(outcome_of(error, self._datastore))
            end_claim(error, claim, events, delivery, self._datastore)

    def _process(self, ticket: ClaimedTicket, delivery: Delivery, watch: ClaimWatch) -> None:
        claim = ticket.claim
        in_progress = metrics.DISPATCH_IN_HAND.labels(self._service.name)
        try:
            with in_progress.track_inprogress(), ticket.events.heartbeats():
                outcome = ticket.process()
        except Exception as error:
            self._end(error, ticket, delivery, watch)
            return
        with tracing.span("finish", attributes={"dss.ticket": claim.ticket_id}):
            ticket.events.succeeded(outcome)
        self._count(SUCCESS)
        log.info("ticket done", extra={"ticket": claim.ticket_id, "claim": claim.claim_id})

    def _end(
        self, error: Exception, ticket: ClaimedTicket, delivery: Delivery, watch: ClaimWatch
    ) -> None:
        """End a claim whose processing raised ``error``.  Removes the claim's files, unless another claim has taken
        over the ticket or the broker was closed.  Raises the errors of ``end_claim``.
        """
        self._count(outcome_of(error, self._datastore))
        try:
            end_claim(error, ticket.claim, ticket.events, delivery, self._datastore)
        finally:
            continues_elsewhere = watch.moved_on or isinstance(error, BrokerClosed)
            if not continues_elsewhere:
                ticket.clear()

    def _create_metrics(self) -> None:
        """Create each metric series with value 0, because Prometheus does not count the first increase of a new
        series.
        """
        service = self._service
        if self._bundle:
            metrics.DISPATCH_BUNDLE_INFO.labels(service.name, self._bundle).set(1)
        metrics.DISPATCH_IN_HAND.labels(service.name)
        for outcome in (SUCCESS, *OUTCOMES):
            metrics.DISPATCH_TICKETS.labels(service.name, outcome)

    def _count(self, outcome: str) -> None:
        metrics.DISPATCH_TICKETS.labels(self._service.name, outcome).inc()
