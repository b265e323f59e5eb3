"""What a claim tells the portal, and through it the user."""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as ConfirmTimeout
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial

from dss_broker.broker import Broker
from dss_broker.errors import BrokerClosed, MessageRefused, TryAgainLater, Unroutable
from dss_broker.messages import (
    AttachedFile,
    ClaimFailed,
    ClaimGranted,
    ClaimHeartbeat,
    ClaimLogged,
    ClaimProgressed,
    ClaimSucceeded,
    LogLevel,
    ResultFile,
)

log = logging.getLogger(__name__)

CONFIRM_S = 300.0
"""Waiting for the broker to take the last event; long enough for its restart."""

SMALLEST_STEP = 0.01
"""Progress smaller than that is not told: nobody sees it."""


class Reporter:
    """Publishes the events of one claim in their order.  All but the last are sent and forgotten."""

    def __init__(self, broker: Broker, claim: ClaimGranted) -> None:
        self._broker = broker
        self._claim = claim
        self._ticket_id, self._claim_id = claim.ticket_id, claim.claim_id
        self._told: dict[tuple[float, float], float] = {}

    def log(
        self, text: str, level: LogLevel = "info", attachments: tuple[AttachedFile, ...] = ()
    ) -> None:
        """A sentence for the ticket's log."""
        self._broker.publish(
            ClaimLogged(
                ticket_id=self._ticket_id,
                claim_id=self._claim_id,
                level=level,
                text=text,
                attachments=attachments,
            )
        )

    def progressed(self, chunk: tuple[float, float], fraction: float) -> None:
        """``fraction`` 0..1 of the part ``chunk`` (from, to) of the work is done."""
        told = self._told.get(chunk, -1.0)
        if fraction < 1.0 and abs(fraction - told) < SMALLEST_STEP:
            return
        self._told[chunk] = fraction
        self._broker.publish(
            ClaimProgressed(
                ticket_id=self._ticket_id,
                claim_id=self._claim_id,
                chunk_start=chunk[0],
                chunk_end=chunk[1],
                progress=min(max(fraction, 0.0), 1.0),
            )
        )

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Keep the claim's lease while the block runs, however quiet it is."""
        stopped = threading.Event()
        name = f"heartbeat of ticket {self._ticket_id}"
        beat = partial(copy_context().run, self._beat, stopped)  # of the same trace
        thread = threading.Thread(target=beat, name=name, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def pauses(self, seconds: float) -> None:
        """The claim goes on after that; until then nobody need miss it."""
        self._broker.publish(
            ClaimHeartbeat(ticket_id=self._ticket_id, claim_id=self._claim_id, pause_s=seconds)
        )

    def _beat(self, stopped: threading.Event) -> None:
        while not stopped.wait(self._claim.lease_s / 3):
            self._broker.publish(ClaimHeartbeat(ticket_id=self._ticket_id, claim_id=self._claim_id))

    def succeeded(self, files: tuple[ResultFile, ...]) -> None:
        """The last word.  Returns when the broker has it; raises TryAgainLater if it cannot take it."""
        event = ClaimSucceeded(ticket_id=self._ticket_id, claim_id=self._claim_id, files=files)
        _confirm(self._broker.publish(event))

    def failed(self, reason: str) -> None:
        """The last word.  Returns when the broker has it; raises TryAgainLater if it cannot take it."""
        event = ClaimFailed(ticket_id=self._ticket_id, claim_id=self._claim_id, reason=reason)
        _confirm(self._broker.publish(event))


def _confirm(sent: "Future[None]") -> None:
    try:
        sent.result(timeout=CONFIRM_S)
    except (Unroutable, MessageRefused, BrokerClosed, ConfirmTimeout) as error:
        raise TryAgainLater("the end of the claim could not be told") from error
