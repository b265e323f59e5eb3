"""What becomes of a delivery: the rules of ``broker.Handler``, the same for every broker."""

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
from dss_broker.spans import processed
from dss_broker.topology import DEAD_EXCHANGE, DEATH_LIMIT, DELIVERY_LIMIT, Sharing, Subscription
from dss_observability import metrics
from dss_observability.logs import about

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Handled:
    """Acknowledge it."""


@dataclass(frozen=True, kw_only=True)
class Postponed:
    """Let it come back after ``delay_s``."""

    delay_s: float


@dataclass(frozen=True, kw_only=True)
class Parked:
    """Nobody can handle it."""

    reason: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Returned:
    """Not handled: put it back.  ``failed`` counts as a death of the program, a mere stop does not."""

    failed: bool


Verdict: TypeAlias = Handled | Postponed | Parked | Returned
Answer: TypeAlias = Callable[[str, Envelope], "Future[None]"]
"""Sends an envelope to a reply queue."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """A ``broker.Delivery``."""

    envelope: Envelope
    message: Message
    redelivered: bool
    attempt: int
    parked_reason: str | None
    answer: Answer

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
        return self.answer(self.envelope.reply_to, reply)


class Handling:
    """Runs one subscription's handler and judges how that ended.  May be used by several threads."""

    def __init__(
        self,
        subscription: Subscription,
        handler: Handler,
        *,
        answer: Answer,
        retry_delays_s: Sequence[float],
    ) -> None:
        self._queue = subscription.queue
        self._handler = handler
        self._answer = answer
        self._retry_delays_s = retry_delays_s
        self._retries_in_place = subscription.sharing is not Sharing.WORK
        self._reads_parked = subscription.exchange == DEAD_EXCHANGE
        self._stopping = threading.Event()
        self._begin_counting()

    def stop(self) -> None:
        """End the waiting for retries in place; their messages are Returned."""
        self._stopping.set()

    def verdict(self, envelope: Envelope, *, redelivered: bool) -> Verdict:
        """Run the handler to its end, which may take hours."""
        began_s = time.monotonic()
        self._note_arrival(envelope, redelivered=redelivered)
        verdict = self._verdict(envelope, redelivered=redelivered)
        seconds = metrics.MESSAGE_SECONDS.labels(self._queue, type(verdict).__name__)
        seconds.observe(time.monotonic() - began_s)
        return verdict

    def given_up(self, envelope: Envelope, deaths: int) -> Verdict | None:
        """A message of which too many programs have died is given to no other; None if it may be handled."""
        if deaths < DEATH_LIMIT:
            return None
        reason = f"At least {deaths} programs died while they handled it."
        log.error("message given up", extra=self._facts(envelope) | {"deaths": deaths})
        return self._unless_parked(Parked(reason=reason, attempt=envelope.attempt))

    def _facts(self, envelope: Envelope) -> dict[str, object]:
        return {"queue": self._queue, "type": envelope.type_name, "id": envelope.message_id}

    def _unless_parked(self, verdict: Verdict) -> Verdict:
        if isinstance(verdict, Parked) and self._reads_parked:
            return Handled()  # it lies in the dead queue already
        return verdict

    def _begin_counting(self) -> None:
        """A series that appeared with its first event would hide just that event."""
        metrics.MESSAGES_REDELIVERED.labels(self._queue)
        for verdict in get_args(Verdict):
            metrics.MESSAGE_SECONDS.labels(self._queue, verdict.__name__)

    def _note_arrival(self, envelope: Envelope, *, redelivered: bool) -> None:
        if redelivered:
            metrics.MESSAGES_REDELIVERED.labels(self._queue).inc()
        elif (age_s := envelope.age_s) is not None and not self._reads_parked:
            metrics.MESSAGE_WAIT_SECONDS.labels(self._queue).observe(age_s)

    def _verdict(self, envelope: Envelope, *, redelivered: bool) -> Verdict:
        attempt = envelope.attempt
        verdict = self._try(envelope, attempt, redelivered=redelivered)
        while isinstance(verdict, Postponed) and self._retries_in_place:
            if self._stopping.wait(verdict.delay_s):
                return Returned(failed=False)
            attempt += 1
            verdict = self._try(envelope, attempt, redelivered=True)
        return self._unless_parked(verdict)

    def _try(self, envelope: Envelope, attempt: int, *, redelivered: bool) -> Verdict:
        with about(**ids(envelope)), processed(envelope, self._queue) as span:
            verdict = self._judged(envelope, attempt, redelivered=redelivered)
            span.note({"dss.verdict": type(verdict).__name__, "dss.attempt": attempt})
            return verdict

    def _judged(self, envelope: Envelope, attempt: int, *, redelivered: bool) -> Verdict:
        facts = self._facts(envelope)
        try:
            self._handler(self._received(envelope, attempt, redelivered=redelivered))
        except TryAgainLater as error:
            log.info("message postponed", extra={**facts, "reason": str(error)})
            return self._later(attempt, error)
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
            answer=self._answer,
        )

    def _later(self, attempt: int, error: TryAgainLater) -> Verdict:
        if attempt > len(self._retry_delays_s):
            return Parked(reason=f"Given up after {attempt} tries: {error}", attempt=attempt)
        return Postponed(delay_s=self._retry_delays_s[attempt - 1])
