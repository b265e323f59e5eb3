"""Which of the tickets in hand were deleted by their users meanwhile."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dss_broker.broker import Delivery
from dss_broker.messages import TicketWithdrawn


class Withdrawals:
    """May be used from any thread."""

    def __init__(self) -> None:
        self._watched: list[tuple[int, threading.Event]] = []
        self._lock = threading.Lock()

    def handle(self, delivery: Delivery) -> None:
        """Handler of ``topology.withdrawn``.  A ticket that is not in hand needs nothing."""
        message = delivery.message
        if not isinstance(message, TicketWithdrawn):
            raise TypeError(f"{type(message).__name__} is no withdrawal")
        with self._lock:
            for ticket_id, withdrawn in self._watched:
                if ticket_id == message.ticket_id:
                    withdrawn.set()

    @contextmanager
    def watch(self, ticket_id: int) -> Iterator[threading.Event]:
        """An event that is set as soon as the ticket is withdrawn."""
        entry = (ticket_id, threading.Event())
        with self._lock:
            self._watched.append(entry)
        try:
            yield entry[1]
        finally:
            with self._lock:
                self._watched.remove(entry)
