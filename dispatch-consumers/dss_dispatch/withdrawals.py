"""Tracks withdrawals of tickets that this process works on.  A ticket is withdrawn when its user deletes it or another
claim continues it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dss_broker.broker import Delivery
from dss_broker.messages import ClaimGranted, TicketWithdrawn


class ClaimWatch:
    """Watches for the withdrawal of one claim.  The watch begins before the claim is requested, so that no withdrawal
    is missed.

    ``withdrawn`` is set as soon as the claim ends.  ``moved_on`` is True if another claim continues the ticket.
    """

    def __init__(self) -> None:
        self.withdrawn = threading.Event()
        self.moved_on = False
        self._claim: ClaimGranted | None = None
        self._received: list[TicketWithdrawn] = []
        self._lock = threading.Lock()

    def start(self, claim: ClaimGranted) -> threading.Event:
        """Watch ``claim``, which was just granted, and apply the withdrawals that were received before.  Returns
        ``withdrawn``.
        """
        with self._lock:
            self._claim = claim
            for message in self._received:
                self._apply(message, claim)
            self._received.clear()
        return self.withdrawn

    def receive(self, message: TicketWithdrawn) -> None:
        with self._lock:
            if self._claim is None:
                self._received.append(message)
            else:
                self._apply(message, self._claim)

    def _apply(self, message: TicketWithdrawn, claim: ClaimGranted) -> None:
        if message.ticket_id == claim.ticket_id and message.claim_id in {"", claim.claim_id}:
            self.moved_on = bool(message.claim_id)
            self.withdrawn.set()


class Withdrawals:
    """Passes withdrawals to the watches of this process's claims.  Methods may be called from any thread."""

    def __init__(self) -> None:
        self._watches: list[ClaimWatch] = []
        self._lock = threading.Lock()

    def handle(self, delivery: Delivery) -> None:
        """Handle a message of the subscription ``topology.withdrawn``.  Withdrawals of other tickets are ignored."""
        message = delivery.message
        if not isinstance(message, TicketWithdrawn):
            raise TypeError(f"{type(message).__name__} is no withdrawal")
        with self._lock:
            for watch in self._watches:
                watch.receive(message)

    @contextmanager
    def watch(self) -> Iterator[ClaimWatch]:
        """A context that watches for the withdrawal of one claim."""
        watch = ClaimWatch()
        with self._lock:
            self._watches.append(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._watches.remove(watch)
