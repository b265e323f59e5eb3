"""Tells a worker whether the answer to a request is still wanted.  It is not if the user has deleted the ticket, or if
the claim that requested the answer has lost the ticket to another claim.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from dss_broker.messages import TicketWithdrawn

HANDOVER_S = 10.0
"""Longest time in seconds until a claim that takes over a ticket requests the same work.  After a claim has lost its
ticket, the computation continues for at least this time, and longer while another claim wants it.
"""

_REMEMBERED = 4096
_ALL_CLAIMS = ""
"""``claim_id`` of a withdrawal that ends every claim of a ticket."""


class WithdrawalLog:
    """The latest 4096 withdrawals that the portal has announced, and whether this worker has abandoned all its
    requests. Methods may be called from any thread.
    """

    def __init__(self) -> None:
        self._heard_s: OrderedDict[tuple[int, str], float] = OrderedDict()
        self._abandoned = threading.Event()

    def record(self, message: TicketWithdrawn) -> None:
        self._heard_s.setdefault((message.ticket_id, message.claim_id), time.monotonic())
        if len(self._heard_s) > _REMEMBERED:
            self._heard_s.popitem(last=False)

    def is_deleted(self, ticket_id: int) -> bool:
        return (ticket_id, _ALL_CLAIMS) in self._heard_s

    def lost_s(self, ticket_id: int, claim_id: str) -> float | None:
        """Seconds since this worker heard that the claim has lost its ticket to another claim; None if it has not heard
        so.
        """
        heard_s = self._heard_s.get((ticket_id, claim_id))
        return None if heard_s is None else time.monotonic() - heard_s

    def abandon_all(self) -> None:
        """Make ``Interest.has_ended`` and ``work_is_unwanted`` True for all requests: the worker stops, and the broker
        delivers the requests to another worker.
        """
        self._abandoned.set()

    @property
    def has_abandoned_all(self) -> bool:
        return self._abandoned.is_set()


@dataclass(frozen=True, kw_only=True)
class Interest:
    """Tells whether the answer to one request, of one claim of a ticket, is still wanted."""

    log: WithdrawalLog
    ticket_id: int
    claim_id: str

    def is_withdrawn(self) -> bool:
        """True if the ticket was deleted, or the claim has lost it."""
        lost_s = self.log.lost_s(self.ticket_id, self.claim_id)
        return lost_s is not None or self.log.is_deleted(self.ticket_id)

    def has_ended(self) -> bool:
        """True if the request need not wait any longer: it is withdrawn, or the worker stops."""
        return self.is_withdrawn() or self.log.has_abandoned_all

    def work_is_unwanted(self, alone_s: Callable[[], float]) -> bool:
        """True if no request needs the result that is being computed, so that the computation should end: the ticket
        was deleted, or the worker stops.

        If the claim has lost the ticket, this is True only when that was more than HANDOVER_S ago and no other
        request has asked for the same work for as long.  ``alone_s`` returns the latter time in seconds.
        """
        if self.log.has_abandoned_all or self.log.is_deleted(self.ticket_id):
            return True
        lost_s = self.log.lost_s(self.ticket_id, self.claim_id)
        return lost_s is not None and min(lost_s, alone_s()) > HANDOVER_S
