"""Detects poison messages: messages during whose handling several programs have died.

RabbitMQ's delivery counts are unsuitable: they also count orderly stops and lost connections, even for messages whose
handling had not started (DECISIONS.md has a table of its versions).  So a program leaves a mark in RabbitMQ before it
handles a redelivered message, and a second mark when it ends the handling alive.
"""

import logging
import threading
import time
from concurrent.futures import Future
from functools import partial

from dss_broker.envelope import ids
from dss_broker.handling import DeliveryOutcome, Handling, Returned
from dss_broker.rabbit.link import Link
from dss_broker.rabbit.marks import CannotCount, Marks
from dss_broker.rabbit.unacked import UnackedMessage
from dss_broker.topology import Sharing, Subscription

log = logging.getLogger(__name__)

COUNT_TIMEOUT_S = 10.0
"""Longest wait for a count of deaths, in seconds.  Then the message is handled without a mark."""

POLL_S = 0.2


class ProgramStops(Exception):
    """Raised in a thread that waits to handle a message when the program stops; the message is requeued."""


class DeathCounter:
    """Counts, for each redelivered message of one subscription, the programs that died while they handled it.

    ``suspect_lock`` is shared by all subscriptions of the program, so that messages of which a program has died are
    handled one at a time: when a program dies, the death counts for every message that it has marked.
    """

    def __init__(
        self,
        subscription: Subscription,
        handling: Handling,
        *,
        link: Link,
        marks: Marks,
        suspect_lock: threading.Lock,
    ) -> None:
        self._queue, self._handling = subscription.queue, handling
        self._counts = (
            subscription.sharing is not Sharing.EVERYONE
        )  # those queues redeliver nothing
        self._link, self._marks, self._suspect_lock = link, marks, suspect_lock
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Any thread: the program stops.  A ``begin`` that waits for a count or a lock returns ``Returned``."""
        self._stopping.set()

    def begin(self, unacked: UnackedMessage) -> DeliveryOutcome | None:
        """A thread of the subscription, before it handles ``unacked``: if the message was redelivered, count the
        deaths, and leave a mark.

        Returns None if the message is to be handled, also if its deaths cannot be counted (then call ``end``
        afterwards); otherwise its outcome: that of ``Handling.poison_outcome``, or Returned because the program stops.
        """
        if not unacked.is_suspect or not self._counts:
            unacked.started = True
            return None
        try:
            return self._begin(unacked)
        except ProgramStops:
            self.end(unacked)
            return Returned(failed=False)
        except (CannotCount, TimeoutError) as error:
            log.warning(
                "handled without a count of deaths", extra=_facts(unacked, reason=repr(error))
            )
            unacked.started = True
            return None

    def end(self, unacked: UnackedMessage) -> None:
        """The thread that called ``begin``: the handler has returned or raised.  Releases the lock for suspects."""
        if unacked.holds_lock:
            unacked.holds_lock = False
            self._suspect_lock.release()

    def redelivered(self, unacked: UnackedMessage) -> None:
        """Link's thread: ``unacked`` was redelivered while this program handles it.  Publish its mark if missing."""
        if unacked.started and self._counts and not unacked.marked:
            counted: Future[int] = Future()
            counted.add_done_callback(partial(self._mark_again, unacked))
            self._marks.count(self._queue, unacked.stable_id, counted)

    def survived(self, unacked: UnackedMessage) -> None:
        """Link's thread: the message was requeued, or its connection was lost, and this program is alive.

        If it has a mark, publishes the second mark, so that this handling does not count as a death.
        """
        if unacked.marked:
            unacked.marked = False
            self._marks.end(self._queue, unacked.stable_id)

    def postponed(self, unacked: UnackedMessage) -> None:
        """Link's thread: the message will be retried.  Publishes the second mark if it has a mark, and keeps all marks,
        so that earlier deaths still count for the retry.
        """
        self.survived(unacked)
        unacked.counted = False

    def forget(self, unacked: UnackedMessage) -> None:
        """Link's thread: the message is acknowledged; delete its marks, if deaths were counted for it."""
        if unacked.counted:
            self._marks.forget(self._queue, unacked.stable_id)

    def _begin(self, unacked: UnackedMessage) -> DeliveryOutcome | None:
        deaths = self._on_link_thread(partial(self._count, unacked))
        if (poison := self._handling.poison_outcome(unacked.envelope, deaths)) is not None:
            return poison
        if deaths:
            log.warning("programs died of this message", extra=_facts(unacked, deaths=deaths))
            self._acquire_suspect_lock(unacked)
        self._on_link_thread(partial(self._mark, unacked))
        return None

    def _count(self, unacked: UnackedMessage, deaths: "Future[int]") -> None:
        unacked.counted = True
        self._marks.count(self._queue, unacked.stable_id, deaths)

    def _mark(self, unacked: UnackedMessage, marked: "Future[int]") -> None:
        def confirmed(done: "Future[None]") -> None:
            if (error := done.exception()) is not None:
                marked.set_exception(error)
                return
            unacked.marked = unacked.started = True
            if unacked.removed:
                self.survived(unacked)
            marked.set_result(0)

        self._marks.begin(self._queue, unacked.stable_id).add_done_callback(confirmed)

    def _mark_again(self, unacked: UnackedMessage, counted: "Future[int]") -> None:
        if counted.exception() is None and not unacked.removed:
            unacked.counted = True
            self._mark(unacked, Future())

    def _on_link_thread(self, question: "partial[None]") -> int:
        """Call ``question`` with a future on the link's thread, and wait for the result of the future.

        Raises the future's error (CannotCount, for instance), ProgramStops, or TimeoutError after COUNT_TIMEOUT_S.
        """
        answer: Future[int] = Future()
        self._link.call(partial(question, answer))
        deadline = time.monotonic() + COUNT_TIMEOUT_S
        while not self._stopping.is_set():
            try:
                return answer.result(POLL_S)
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
        raise ProgramStops

    def _acquire_suspect_lock(self, unacked: UnackedMessage) -> None:
        while not self._suspect_lock.acquire(timeout=POLL_S):
            if self._stopping.is_set():
                raise ProgramStops
        unacked.holds_lock = True


def _facts(unacked: UnackedMessage, **more: object) -> dict[str, object]:
    return {"id": unacked.envelope.message_id, **ids(unacked.envelope), **more}
