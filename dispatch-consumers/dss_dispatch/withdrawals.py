"""Which of the tickets in hand were deleted by their users, or taken away, meanwhile."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dss_broker.broker import Delivery
from dss_broker.messages import ClaimGranted, TicketWithdrawn


class Watch:
    """Hears every withdrawal from before a claim is asked for, when nobody knows for which ticket.

    ``withdrawn`` is set as soon as what ``of`` names is withdrawn, and ``moved`` is true if only the claim
    was: then the ticket goes on in other hands.
    """

    def __init__(self) -> None:
        self.withdrawn = threading.Event()
        self.moved = False
        self._claim: ClaimGranted | None = None
        self._heard: list[TicketWithdrawn] = []
        self._lock = threading.Lock()

    def of(self, claim: ClaimGranted) -> threading.Event:
        """From now on only this claim matters, and what was heard of it before."""
        with self._lock:
            self._claim = claim
            for message in self._heard:
                self._judge(message, claim)
            self._heard.clear()
        return self.withdrawn

    def hear(self, message: TicketWithdrawn) -> None:
        with self._lock:
            if self._claim is None:
                self._heard.append(message)
            else:
                self._judge(message, self._claim)

    def _judge(self, message: TicketWithdrawn, claim: ClaimGranted) -> None:
        if message.ticket_id == claim.ticket_id and message.claim_id in {"", claim.claim_id}:
            self.moved = bool(message.claim_id)
            self.withdrawn.set()


class Withdrawals:
    """May be used from any thread."""

    def __init__(self) -> None:
        self._watches: list[Watch] = []
        self._lock = threading.Lock()

    def handle(self, delivery: Delivery) -> None:
        """Handler of ``topology.withdrawn``.  A ticket that is not in hand needs nothing."""
        message = delivery.message
        if not isinstance(message, TicketWithdrawn):
            raise TypeError(f"{type(message).__name__} is no withdrawal")
        with self._lock:
            for watch in self._watches:
                watch.hear(message)

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        watch = Watch()
        with self._lock:
            self._watches.append(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._watches.remove(watch)
