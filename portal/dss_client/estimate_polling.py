"""Requests the server's estimates of when tickets will be done."""

import time

from dss_client.itksnap import ItkSnap
from dss_client.records import Detail

POLL_S = 5.0


class EstimatePoller:
    """The server's estimate for one ticket.  While the ticket is open, it is requested again at most every POLL_S
    seconds.
    """

    def __init__(self, client: ItkSnap, ticket: int) -> None:
        self._client = client
        self._ticket = ticket
        self._polled_s = -POLL_S
        self._sentence = ""

    def after(self, detail: Detail) -> str:
        """The estimate as a sentence, for the ticket's present state ``detail``; "" if the ticket has ended or there is
        no estimate.
        """
        if detail.finished:
            return ""
        now_s = time.monotonic()
        if now_s - self._polled_s >= POLL_S:
            self._polled_s = now_s
            self._sentence = self._client.ticket_estimate(self._ticket)
        return self._sentence
