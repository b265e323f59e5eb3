"""Runs handlers and decides the outcome of each delivery, by the rules of ``broker.Handler``.

Both implementations of ``broker.Broker`` use it, and carry the outcome out.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeAlias, get_args

from dss_broker.broker import Handler
from dss_broker.codec import decode
from dss_broker.envelope import Envelope, deliveries, ids, new_envelope, parked_reason
from dss_broker.errors import MalformedMessage, ReturnToQueue, TryAgainLater
from dss_broker.messages import Message
from dss_broker.spans import process_span
from dss_broker.topology import DEAD_EXCHANGE, DEATH_LIMIT, DELIVERY_LIMIT, Sharing, Subscription
from dss_observability import metrics
from dss_observability.logs import log_facts

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Handled:
    """Outcome: acknowledge the message."""


@dataclass(frozen=True, kw_only=True)
class Postponed:
    """Outcome: retry the message after ``delay_s`` seconds."""

    delay_s: float


@dataclass(frozen=True, kw_only=True)
class Parked:
    """Outcome: park the message, because it cannot be handled.  ``attempt`` is the number of the last attempt."""

    reason: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Returned:
    """Outcome: requeue the message.

    ``failed``: the handler was interrupted, which counts like a death of the program; False after an orderly stop.
    """

    failed: bool


DeliveryOutcome: TypeAlias = Handled | Postponed | Parked | Returned
SendReply: TypeAlias = Callable[[str, Envelope], "Future[None]"]
"""Called with the name of a reply queue and the reply; the future is done when the broker has stored the reply."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """The ``broker.Delivery`` that a handler gets for a message, whichever broker delivers it."""

    envelope: Envelope
    message: Message
    redelivered: bool
    attempt: int
    parked_reason: str | None
    send_reply: SendReply

    @property
    def message_id(self) -> str:
        return self.envelope.message_id

    @property
    def deliveries(self) -> int:
        return (self.attempt - 1) * (DELIVERY_LIMIT + 1) + deliveries(self.envelope)

    @property
    def age_s(self) -> float | None:
        return self.envelope.age_s

    def reply(self, message: Message) -> "Future[None]":
        if self.envelope.reply_to is None:
            raise ValueError(f"Nobody waits for an answer to this {self.envelope.type_name}")
        reply = new_envelope(message, correlation_id=self.envelope.correlation_id)
        return self.send_reply(self.envelope.reply_to, reply)


class Handling:
    """Runs the handler of one subscription.  Several threads may use it."""

    def __init__(
        self,
        subscription: Subscription,
        handler: Handler,
        *,
        send_reply: SendReply,
        retry_delays_s: Sequence[float],
    ) -> None:
        self._queue = subscription.queue
        self._handler = handler
        self._send_reply = send_reply
        self._retry_delays_s = retry_delays_s
        self._retries_in_place = subscription.sharing is not Sharing.WORK
        self._reads_parked = subscription.exchange == DEAD_EXCHANGE
        self._stopping = threading.Event()
        self._create_series()

    def stop(self) -> None:
        """End the delays between the attempts of ``handle``; the outcome of those messages is Returned."""
        self._stopping.set()

    def handle(self, envelope: Envelope, *, redelivered: bool) -> DeliveryOutcome:
        """Run the handler, which may take hours, and return the outcome.

        For ORDERED and EVERYONE, it also waits for the delays and retries, so the outcome is never Postponed.  For a
        copy of a parked message it is Handled instead of Parked.
        """
        began_s = time.monotonic()
        self._note_arrival(envelope, redelivered=redelivered)
        outcome = self._handle(envelope, redelivered=redelivered)
        seconds = metrics.MESSAGE_SECONDS.labels(self._queue, type(outcome).__name__)
        seconds.observe(time.monotonic() - began_s)
        return outcome

    def poison_outcome(self, envelope: Envelope, deaths: int) -> DeliveryOutcome | None:
        """The outcome Parked if at least DEATH_LIMIT programs have died of the message; None if it may be handled.

        A copy of a parked message gets Handled instead, because it must not be parked again.
        """
        if deaths < DEATH_LIMIT:
            return None
        reason = f"At least {deaths} programs died while they handled it."
        log.error("message given up", extra=self._facts(envelope) | {"deaths": deaths})
        return self._unless_parked(Parked(reason=reason, attempt=envelope.attempt))

    def _facts(self, envelope: Envelope) -> dict[str, object]:
        return {"queue": self._queue, "type": envelope.type_name, "id": envelope.message_id}

    def _unless_parked(self, outcome: DeliveryOutcome) -> DeliveryOutcome:
        if isinstance(outcome, Parked) and self._reads_parked:
            return Handled()  # it is in the dead queue already
        return outcome

    def _create_series(self) -> None:
        """Create the metric series of the queue with value 0: Prometheus misses the first increase of a new series."""
        metrics.MESSAGES_REDELIVERED.labels(self._queue)
        for outcome in get_args(DeliveryOutcome):
            metrics.MESSAGE_SECONDS.labels(self._queue, outcome.__name__)

    def _note_arrival(self, envelope: Envelope, *, redelivered: bool) -> None:
        if redelivered:
            metrics.MESSAGES_REDELIVERED.labels(self._queue).inc()
        elif (age_s := envelope.age_s) is not None and not self._reads_parked:
            metrics.MESSAGE_WAIT_SECONDS.labels(self._queue).observe(age_s)

    def _handle(self, envelope: Envelope, *, redelivered: bool) -> DeliveryOutcome:
        attempt = envelope.attempt
        outcome = self._attempt(envelope, attempt, redelivered=redelivered)
        while isinstance(outcome, Postponed) and self._retries_in_place:
            if self._stopping.wait(outcome.delay_s):
                return Returned(failed=False)
            attempt += 1
            outcome = self._attempt(envelope, attempt, redelivered=True)
        return self._unless_parked(outcome)

    def _attempt(self, envelope: Envelope, attempt: int, *, redelivered: bool) -> DeliveryOutcome:
        with log_facts(**ids(envelope)), process_span(envelope, self._queue) as span:
            outcome = self._run_handler(envelope, attempt, redelivered=redelivered)
            span.note({"dss.verdict": type(outcome).__name__, "dss.attempt": attempt})
            return outcome

    def _run_handler(
        self, envelope: Envelope, attempt: int, *, redelivered: bool
    ) -> DeliveryOutcome:
        facts = self._facts(envelope)
        try:
            self._handler(self._received(envelope, attempt, redelivered=redelivered))
        except TryAgainLater as error:
            log.info("message postponed", extra={**facts, "reason": str(error)})
            return self._postponed(attempt, error)
        except ReturnToQueue:
            log.info("message handed back", extra=facts)
            return Returned(failed=False)
        except MalformedMessage as error:
            log.error("malformed message", extra={**facts, "reason": str(error)})  # noqa: TRY400 - no fault of the code
            return Parked(reason=f"Malformed: {error}", attempt=attempt)
        except Exception as error:
            log.exception("handler failed", extra=facts)
            return Parked(reason=f"{type(error).__name__}: {error}", attempt=attempt)
        except BaseException:
            log.exception("handler was interrupted", extra=facts)
            return Returned(failed=True)
        return Handled()

    def _received(self, envelope: Envelope, attempt: int, *, redelivered: bool) -> Received:
        return Received(
            envelope=envelope,
            message=decode(envelope.type_name, envelope.body),
            redelivered=redelivered or attempt > 1,
            attempt=attempt,
            parked_reason=parked_reason(envelope) if self._reads_parked else None,
            send_reply=self._send_reply,
        )

    def _postponed(self, attempt: int, error: TryAgainLater) -> DeliveryOutcome:
        if attempt > len(self._retry_delays_s):
            return Parked(reason=f"Given up after {attempt} tries: {error}", attempt=attempt)
        return Postponed(delay_s=self._retry_delays_s[attempt - 1])
