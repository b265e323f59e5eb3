"""Which tickets were deleted, and which claims have lost their ticket, lately."""

import time
from collections import OrderedDict

from dss_broker.messages import TicketWithdrawn

_REMEMBERED = 4096
_WHOLE = ""
"""Stands for every claim of a ticket."""


class Withdrawals:
    """May be used from any thread."""

    def __init__(self) -> None:
        self._heard_s: OrderedDict[tuple[int, str], float] = OrderedDict()

    def note(self, message: TicketWithdrawn) -> None:
        self._heard_s.setdefault((message.ticket_id, message.claim_id), time.monotonic())
        if len(self._heard_s) > _REMEMBERED:
            self._heard_s.popitem(last=False)

    def is_deleted(self, ticket_id: int) -> bool:
        """Nobody may work for it any more."""
        return (ticket_id, _WHOLE) in self._heard_s

    def lost_s(self, ticket_id: int, claim_id: str) -> float | None:
        """Seconds since the claim was known to have lost its ticket; None if it was not."""
        heard_s = self._heard_s.get((ticket_id, claim_id))
        return None if heard_s is None else time.monotonic() - heard_s
