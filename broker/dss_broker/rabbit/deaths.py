"""Which messages have programs died of?  Those are parked; what an orderly stop or a lost connection gives back is not.

RabbitMQ cannot tell: it counts all of these alike, and messages that nobody had begun with, too
(the table of its versions is in DECISIONS.md).  So a program that begins with a message that has come again
leaves a mark, and takes it back unless it dies.
"""

import logging
import threading
import time
from concurrent.futures import Future
from functools import partial

from dss_broker.envelope import ids
from dss_broker.handling import Handling, Returned, Verdict
from dss_broker.rabbit.link import Link
from dss_broker.rabbit.marks import CannotCount, Marks
from dss_broker.rabbit.unacked import Hand
from dss_broker.topology import Sharing, Subscription

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""Work does not wait longer for a count; it begins without a mark then."""

LOOK_S = 0.2


class Stopping(Exception):
    """The program ends, so nothing new is begun."""


class Deaths:
    """Of the messages of one subscription.

    ``turn`` belongs to the whole program: of messages that have already cost a program, it handles one at a
    time, because they would share the blame for each other's deaths.
    """

    def __init__(
        self,
        subscription: Subscription,
        handling: Handling,
        *,
        link: Link,
        marks: Marks,
        turn: threading.Lock,
    ) -> None:
        self._queue, self._handling = subscription.queue, handling
        self._counts = subscription.sharing is not Sharing.EVERYONE  # nothing comes again there
        self._link, self._marks, self._turn = link, marks, turn
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Any thread: what waits to be begun is Returned."""
        self._stopping.set()

    def begin(self, hand: Hand) -> Verdict | None:
        """A thread of the subscription: None if ``hand`` is to be handled, ``end`` follows then."""
        if not hand.is_suspect or not self._counts:
            hand.begun = True
            return None
        try:
            return self._begin(hand)
        except Stopping:
            self.end(hand)
            return Returned(failed=False)
        except (CannotCount, TimeoutError) as error:
            log.warning("handled without a count of deaths", extra=_facts(hand, reason=repr(error)))
            hand.begun = True
            return None

    def end(self, hand: Hand) -> None:
        """The thread of ``begin``: the handler has ended, somehow."""
        if hand.has_turn:
            hand.has_turn = False
            self._turn.release()

    def came_again(self, hand: Hand) -> None:
        """Link's thread: ``hand``, with which the program has begun, was delivered to it once more."""
        if hand.begun and self._counts and not hand.marked:
            counted: Future[int] = Future()
            counted.add_done_callback(partial(self._mark_again, hand))
            self._marks.count(self._queue, hand.name, counted)

    def survived(self, hand: Hand) -> None:
        """Link's thread: the program has lost the message, or given it back, and lives."""
        if hand.marked:
            hand.marked = False
            self._marks.end(self._queue, hand.name)

    def postponed(self, hand: Hand) -> None:
        """Link's thread: a retry follows, with the count as it is."""
        self.survived(hand)
        hand.counted = False

    def forget(self, hand: Hand) -> None:
        """Link's thread: the message is done."""
        if hand.counted:
            self._marks.forget(self._queue, hand.name)

    def _begin(self, hand: Hand) -> Verdict | None:
        deaths = self._ask(partial(self._count, hand))
        if (given_up := self._handling.given_up(hand.envelope, deaths)) is not None:
            return given_up
        if deaths:
            log.warning("programs died of this message", extra=_facts(hand, deaths=deaths))
            self._wait_for_turn(hand)
        self._ask(partial(self._mark, hand))
        return None

    def _count(self, hand: Hand, deaths: "Future[int]") -> None:
        hand.counted = True
        self._marks.count(self._queue, hand.name, deaths)

    def _mark(self, hand: Hand, marked: "Future[int]") -> None:
        def put(done: "Future[None]") -> None:
            if (error := done.exception()) is not None:
                marked.set_exception(error)
                return
            hand.marked = hand.begun = True
            if hand.settled:
                self.survived(hand)
            marked.set_result(0)

        self._marks.begin(self._queue, hand.name).add_done_callback(put)

    def _mark_again(self, hand: Hand, counted: "Future[int]") -> None:
        if counted.exception() is None and not hand.settled:
            hand.counted = True
            self._mark(hand, Future())

    def _ask(self, errand: "partial[None]") -> int:
        """Raises Stopping, CannotCount, TimeoutError."""
        answer: Future[int] = Future()
        self._link.call(partial(errand, answer))
        deadline = time.monotonic() + PATIENCE_S
        while not self._stopping.is_set():
            try:
                return answer.result(LOOK_S)
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
        raise Stopping

    def _wait_for_turn(self, hand: Hand) -> None:
        while not self._turn.acquire(timeout=LOOK_S):
            if self._stopping.is_set():
                raise Stopping
        hand.has_turn = True


def _facts(hand: Hand, **more: object) -> dict[str, object]:
    return {"id": hand.envelope.message_id, **ids(hand.envelope), **more}
