"""Takes the tickets of one service, one delivery at a time in each thread."""

import logging
import threading
from pathlib import Path

from dss_broker.broker import Broker, Delivery
from dss_broker.errors import BrokerClosed, HandBack, MessageRefused, TryAgainLater, Unroutable
from dss_broker.liveness import ANNOUNCE_S
from dss_broker.messages import (
    ClaimGranted,
    ClaimRefused,
    ClaimTicket,
    ServiceAnnounced,
    TicketReady,
)
from dss_broker.topology import RETRY_DELAYS_S, dispatch, withdrawn, workers
from dss_datastore.volume import is_there, wait_until_there
from dss_dispatch.claim import ClaimedTicket
from dss_dispatch.claim_events import Reporter
from dss_dispatch.claim_request import ask
from dss_dispatch.errors import NoInference, TicketError, Withdrawn
from dss_dispatch.files import is_full
from dss_dispatch.inference.worker_liveness import Workers
from dss_dispatch.result.check_requests import serve_checks
from dss_dispatch.service import Service
from dss_dispatch.withdrawals import Watch, Withdrawals
from dss_observability import metrics, tracing
from dss_observability.logs import concerns

log = logging.getLogger(__name__)

UNHEARD_S = 1.0
SUCCESS = "success"
EXPECTED = (TicketError, Withdrawn, NoInference)
"""What may end the work on a ticket besides success; counted by name, like what nobody foresaw."""


NO_ROOM = "The service has no room on its disk."


class Consumer:
    """One service's dispatcher in one process."""

    def __init__(
        self,
        broker: Broker,
        service: Service,
        datastore: Path,
        *,
        provider: str,
        instance: str,
        silence_s: float,
        service_url: str = "",
    ) -> None:
        self._broker = broker
        self._service = service
        self._datastore = datastore
        self._provider, self._instance = provider, instance
        self._silence_s, self._service_url = silence_s, service_url
        self._withdrawals, self._workers = Withdrawals(), Workers()
        self._bundle = "" if service_url else service.dispatch.algorithm
        self._stopping, self._announcing = threading.Event(), threading.Lock()
        self._heard = self._subscribed = False

    def start(self, *, parallel: int) -> None:
        """Subscribe; from now on up to ``parallel`` tickets at a time are worked on.  Repeated, it only announces."""
        if not self._subscribed:
            self._subscribe(parallel)
        self._heard = self.announce()  # only now, since from then on users may choose the service

    def _subscribe(self, parallel: int) -> None:
        self._begin_counting()
        self._broker.consume(withdrawn("dispatch"), self._withdrawals.handle)
        if self._bundle:
            self._broker.consume(workers("dispatch", self._bundle), self._workers.handle)
        serve_checks(self._broker, self._datastore)
        self._broker.consume(dispatch(self._service.name, prefetch=parallel), self.handle)
        self._subscribed = True

    def stop(self, timeout_s: float) -> bool:
        """Take nothing new, say so, and finish what is in hand; False if some of that takes longer."""
        self._stopping.set()
        self._say_goodbye()
        return self._broker.stop_consuming(timeout_s)

    def keep_announcing(self) -> None:
        """Every ANNOUNCE_S until it is stopped; every UNHEARD_S while no portal hears it."""
        while not self._stopping.wait(ANNOUNCE_S if self._heard else UNHEARD_S):
            self._workers.note(connected=self._broker.connected)
            self._heard = self.announce()

    def announce(self) -> bool:
        """Tell the portal that the service is there.  False if that can reach no portal yet."""
        with self._announcing:
            return not self._stopping.is_set() and self._tell(ends=False)

    def problems(self) -> list[str]:
        """A sentence if there is nobody to ask for inference."""
        self._workers.note(connected=self._broker.connected)
        if not self._bundle or not self._subscribed or not self._workers.are_missed:
            return []
        return [f"No inference worker is at work for '{self._bundle}'."]

    def _say_goodbye(self) -> None:
        with self._announcing:
            self._tell(ends=True)

    def _tell(self, *, ends: bool) -> bool:
        if not self._broker.connected:
            return False
        here = ServiceAnnounced(
            service=self._service.name,
            provider=self._provider,
            instance=self._instance,
            descriptor=self._service.descriptor.whole,
            bundle=self._bundle,
            ends=ends,
        )
        try:
            self._broker.publish(here).result(timeout=UNHEARD_S)
        except (Unroutable, MessageRefused, BrokerClosed, TimeoutError):
            return False
        return True

    def handle(self, delivery: Delivery) -> None:
        """Handler of ``topology.dispatch``."""
        ready = delivery.message
        if not isinstance(ready, TicketReady):
            raise TypeError(f"{type(ready).__name__} is no ticket")
        if not wait_until_there(self._datastore, self._stopping):
            raise HandBack
        # Watched before the claim is asked for: whoever deletes the ticket then, is heard or refused.
        with self._withdrawals.watch() as watch:
            claim = self._claim(ready, delivery)
            if claim is not None:
                with tracing.within(tracing.in_trace_of(claim.traceparent)):
                    self._work(claim, delivery, watch)

    def _claim(self, ready: TicketReady, delivery: Delivery) -> ClaimGranted | None:
        """None if the ticket is not to be worked on."""
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
            reply = ask(self._broker, request, self._stopping)
        if isinstance(reply, ClaimGranted):
            return reply
        if not isinstance(reply, ClaimRefused):
            raise TypeError(f"{type(reply).__name__} is no answer to a claim")
        log.info("claim refused", extra={"ticket": ready.ticket_id, "reason": reply.reason})
        return None

    def _work(self, claim: ClaimGranted, delivery: Delivery, watch: Watch) -> None:
        facts = {"ticket": claim.ticket_id, "claim": claim.claim_id}
        concerns(**facts)
        log.info("ticket claimed", extra={**facts, "attempt": claim.attempt})
        reporter = Reporter(self._broker, claim)
        ticket = ClaimedTicket(
            claim=claim,
            service=self._service,
            datastore=self._datastore,
            broker=self._broker,
            reporter=reporter,
            withdrawn=watch.of(claim),
            workers=self._workers,
            silence_s=self._silence_s,
            service_url=self._service_url,
        )
        processed = False
        in_hand = metrics.DISPATCH_IN_HAND.labels(self._service.name)
        try:
            with in_hand.track_inprogress(), reporter.alive():
                files = ticket.process()
            processed = True
            with tracing.span("finish", attributes={"dss.ticket": claim.ticket_id}):
                reporter.succeeded(files)
            self._count(SUCCESS)
            log.info("ticket done", extra=facts)
        except Exception as error:
            if processed:
                raise
            self._count(type(error).__name__)
            try:
                self._give_up(reporter, claim, error, delivery)
            finally:
                goes_on_elsewhere = watch.moved or isinstance(error, BrokerClosed)
                if not goes_on_elsewhere:
                    ticket.clear()

    def _begin_counting(self) -> None:
        """A series that appeared with its first event would hide just that event."""
        service = self._service
        if self._bundle:
            metrics.DISPATCH_BUNDLE_INFO.labels(service.name, self._bundle).set(1)
        metrics.DISPATCH_IN_HAND.labels(service.name)
        for outcome in (SUCCESS, *(error.__name__ for error in EXPECTED)):
            metrics.DISPATCH_TICKETS.labels(service.name, outcome)

    def _count(self, outcome: str) -> None:
        metrics.DISPATCH_TICKETS.labels(self._service.name, outcome).inc()

    def _give_up(
        self, reporter: Reporter, claim: ClaimGranted, error: Exception, delivery: Delivery
    ) -> None:
        """Say why, to whom it concerns.  Raises what the delivery is to end with."""
        facts = {"ticket": claim.ticket_id, "claim": claim.claim_id}
        match error:
            case Withdrawn():
                log.info("ticket withdrawn", extra=facts)
            case _ if not is_there(self._datastore):
                log.warning("datastore lost", extra={**facts, "reason": repr(error)})
                raise TryAgainLater("the datastore is away") from error
            case _ if is_full(error, self._datastore):
                log.warning("disk full", extra={**facts, "reason": str(error)})
                self._put_off(reporter, NO_ROOM, delivery.attempt)
            case TicketError():
                log.info("ticket failed", extra=facts)  # why is for its user: it may name a file
                reporter.failed(str(error))
            case NoInference():
                log.warning("no inference", extra={**facts, "reason": str(error)})
                self._put_off(reporter, str(error), delivery.attempt)
            case BrokerClosed() | TryAgainLater():
                raise error
            case _:
                log.error("ticket broke the dispatcher", extra=facts, exc_info=error)
                reporter.failed(
                    "An unexpected error stopped the work on this ticket. Please tell the operator "
                    f"its number, {claim.ticket_id}."
                )

    def _put_off(self, reporter: Reporter, reason: str, attempt: int) -> None:
        """What is missing may be there in a while.  Raises TryAgainLater, unless that was so too often."""
        if attempt > len(RETRY_DELAYS_S):
            reporter.failed(f"{reason} Please tell the operator, and submit again later.")
            return
        if attempt == 1:
            reporter.log(f"{reason} The ticket is tried again in a while.", "warning")
        reporter.pauses(RETRY_DELAYS_S[attempt - 1])
        raise TryAgainLater(reason)
