"""Publishes the events of a claim to the portal, which shows them to the user."""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as ConfirmTimeout
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
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
    Label,
    LogLevel,
    ReportedLine,
    ResultFile,
)
from dss_dispatch.report_batch import ReportBatch

log = logging.getLogger(__name__)

CONFIRM_S = 300.0
"""Longest wait in seconds for the broker to confirm the last event; long enough for a restart of the broker."""

GATHER_S = 0.1
"""Longest time in seconds for which an event is held back, so that later events can go in the same message."""

SMALLEST_STEP = 0.01
"""Smallest change of the progress (0 to 1) that is published; a smaller one would not be visible."""


@dataclass(frozen=True, kw_only=True)
class ClaimOutcome:
    """What a successful claim has produced: the result's ``files``, the segmentation's ``labels``, the algorithm's
    ``verdict`` and ``device``, and the folder ``staged_dir`` of the files in the datastore.

    ``work_s`` is the time in seconds that the ticket took, without waiting for a worker; 0: not measured.
    """

    files: tuple[ResultFile, ...]
    labels: tuple[Label, ...] = ()
    verdict: str = ""
    device: str = ""
    work_s: float = 0.0
    staged_dir: str = ""


class ClaimEvents:
    """Publishes the events of one claim in their order.  Publishing does not wait for the broker's confirmation, except
    for the last event.

    While ``heartbeats`` runs, the log lines and the progress of GATHER_S go in one message, if the portal has said in
    its grant that it reads such messages.
    """

    def __init__(self, broker: Broker, claim: ClaimGranted) -> None:
        self._broker = broker
        self._claim = claim
        self._ticket_id, self._claim_id = claim.ticket_id, claim.claim_id
        self._published: dict[tuple[float, float], float] = {}
        self._batch = ReportBatch()
        self._gathers = False
        self._order = threading.Lock()
        """Held while an event is gathered or published."""
        self._begun = threading.Event()
        """Set when the first event is batch, and when the heartbeats end."""

    def log(
        self, text: str, level: LogLevel = "info", attachments: tuple[AttachedFile, ...] = ()
    ) -> None:
        """Add a sentence to the ticket's log.  A line with attachments is published at once; another may be gathered
        first.
        """
        line = ReportedLine(level=level, text=text)
        with self._order:
            if self._gathers and not attachments and self._batch.takes(line):
                self._batch.lines.append(line)
                self._begun.set()
                return
            self._flush()
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
        """Publish that ``fraction`` (0 to 1) of the part ``chunk`` (start, end) of the work is done.  Steps smaller
        than SMALLEST_STEP are left out, except the last one, to 1.
        """
        published = self._published.get(chunk, -1.0)
        if fraction < 1.0 and abs(fraction - published) < SMALLEST_STEP:
            return
        self._published[chunk] = fraction
        progress = min(max(fraction, 0.0), 1.0)
        with self._order:
            if self._gathers:
                self._batch.parts[chunk] = progress
                self._begun.set()
                return
            self._broker.publish(
                ClaimProgressed(
                    ticket_id=self._ticket_id,
                    claim_id=self._claim_id,
                    chunk_start=chunk[0],
                    chunk_end=chunk[1],
                    progress=progress,
                )
            )

    @contextmanager
    def heartbeats(self) -> Iterator[None]:
        """A context in which a thread renews the claim's lease.  If the portal reads reports, events are gathered
        meanwhile; those still gathered at the end are published.
        """
        stopped = threading.Event()
        name = f"heartbeat of ticket {self._ticket_id}"
        beat = partial(copy_context().run, self._beat, stopped)  # in the same trace
        thread = threading.Thread(target=beat, name=name, daemon=True)
        self._gathers = self._claim.reads_reports
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            self._begun.set()
            thread.join()
            with self._order:
                self._gathers = False
                self._flush()

    def pause(self, seconds: float) -> None:
        """Extend the lease by ``seconds``, after which the claim is to continue.  No heartbeat is needed until then."""
        self._broker.publish(
            ClaimHeartbeat(ticket_id=self._ticket_id, claim_id=self._claim_id, pause_s=seconds)
        )

    def _beat(self, stopped: threading.Event) -> None:
        """Publish gathered events GATHER_S seconds after the first of them, and a heartbeat if no event is gathered for
        a third of the lease.  Runs in a thread until ``stopped`` is set.
        """
        while not stopped.is_set():
            if not self._begun.wait(self._claim.lease_s / 3):
                self._broker.publish(
                    ClaimHeartbeat(ticket_id=self._ticket_id, claim_id=self._claim_id)
                )
            elif not stopped.wait(GATHER_S):
                with self._order:
                    self._begun.clear()
                    self._flush()

    def _flush(self) -> None:
        """Publish the gathered events, if there are any.  The caller holds ``_order``."""
        batch, self._batch = self._batch, ReportBatch()
        if batch:
            self._broker.publish(batch.report(self._ticket_id, self._claim_id))

    def succeeded(self, outcome: ClaimOutcome) -> None:
        """Publish the success, which is the claim's last event.  Returns when the broker has stored it; raises
        TryAgainLater if the broker does not.
        """
        event = ClaimSucceeded(
            ticket_id=self._ticket_id,
            claim_id=self._claim_id,
            files=outcome.files,
            labels=outcome.labels,
            verdict=outcome.verdict,
            device=outcome.device,
            work_s=outcome.work_s,
            staged_dir=outcome.staged_dir,
        )
        _confirm(self._broker.publish(event))

    def failed(self, reason: str) -> None:
        """Publish the failure, which is the claim's last event.  Returns when the broker has stored it; raises
        TryAgainLater if the broker does not.
        """
        event = ClaimFailed(ticket_id=self._ticket_id, claim_id=self._claim_id, reason=reason)
        _confirm(self._broker.publish(event))


def _confirm(sent: "Future[None]") -> None:
    try:
        sent.result(timeout=CONFIRM_S)
    except (Unroutable, MessageRefused, BrokerClosed, ConfirmTimeout) as error:
        raise TryAgainLater("the end of the claim could not be told") from error
