"""Processes one claimed ticket: downloads it, runs the algorithm, uploads the results and ends the ticket."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dss_client.errors import ClientError, Refused
from dss_datastore.space import is_disk_full
from dss_provider import results, running
from dss_provider.child import DISK_FULL
from dss_provider.errors import AlgorithmFailed, Withdrawn
from dss_provider.folder import ServiceFolder
from dss_provider.heartbeat import Connect, Heartbeat
from dss_provider.outcome import FILES, AlgorithmOutcome
from dss_provider.portal import Portal
from dss_provider.results import BuiltResult
from dss_provider.sizes import label_sizes
from dss_provider.ticket_folders import ticket_folder
from dss_provider.time_points import at_time_point
from dss_workspace.errors import WorkspaceInvalid

MOST_VOLUMES = 50
"""Largest number of log lines with volumes; a user would not read more."""
UNEXPECTED = (
    "The provider's program met an unexpected error; please tell the provider the ticket's number."
)

Say = Callable[[str], None]


def work_on(number: int, service: ServiceFolder, connect: Connect, beat_s: float, say: Say) -> str:
    """Process a ticket and return its outcome: "success", "failed" or "withdrawn".  The claim is renewed every
    ``beat_s`` seconds.

    ``say`` prints messages for the provider that the ticket's user need not read.  Raises ClientError if the portal
    stays unavailable; the ticket is still claimed then.
    """
    portal = connect()
    try:
        with (
            ticket_folder() as folder,
            Heartbeat(number, connect, beat_s) as heartbeat,
        ):
            return _Work(number, service, portal, folder, heartbeat, say).ended()
    finally:
        portal.close()


@dataclass(frozen=True)
class _Work:
    """The processing of one ticket.  ``portal`` is this thread's connection."""

    number: int
    service: ServiceFolder
    portal: Portal
    folder: Path
    heartbeat: Heartbeat
    say: Say

    def ended(self) -> str:
        try:
            self._publish(*self._computed())
        except Withdrawn:
            return "withdrawn"
        except AlgorithmFailed as error:
            return self._failed(str(error), error.detail)
        except Refused as error:
            if self.heartbeat.ended.is_set():
                return "withdrawn"
            return self._failed(_reason(error))
        except ClientError:
            raise
        except Exception as error:
            text = DISK_FULL if is_disk_full(error) else UNEXPECTED
            return self._failed(text, traceback.format_exc())
        return "success"

    def _failed(self, sentence: str, detail: str = "") -> str:
        """End the ticket as failed, and print the reason.  Returns "withdrawn" if the portal refuses that, because the claim was lost
        meanwhile.
        """
        if detail:
            self.say(f"Ticket {self.number}: the end of the algorithm's output:\n{detail}")
        self.say(f"Ticket {self.number}: {sentence}")
        try:
            self.heartbeat.report_rest(self.portal)
            self.portal.log(self.number, "error", sentence)
            self.portal.finish(self.number, "failed")
        except Refused:
            return "withdrawn"
        return "failed"

    def _computed(self) -> tuple[results.TicketInput, AlgorithmOutcome, BuiltResult]:
        sent, work = self.folder / "input", self.folder / "work"
        sent.mkdir()
        work.mkdir()
        self.portal.download_input(self.number, sent)
        ticket = results.open_input(sent)
        if time_point := ticket.time_point(self.service.dispatch):
            self.portal.log(self.number, "info", time_point.remark)
        if warning := ticket.series_warning(self.service.dispatch):
            self.portal.log(self.number, "warning", warning)
        outcome = running.run(
            self.service,
            _work(ticket, self.service, work),
            self.heartbeat.report,
            self.heartbeat.ended,
        )
        return ticket, outcome, results.build(self.number, ticket, self.service, outcome, work)

    def _publish(
        self, ticket: results.TicketInput, outcome: AlgorithmOutcome, built: BuiltResult
    ) -> None:
        work, image = self.folder / "work", ticket.tagged(self.service.dispatch.tag)
        self.heartbeat.report_rest(self.portal)
        for file in built.files:
            self.portal.upload_result(self.number, file)
        for remark in (*outcome.remarks, *built.remarks):
            self.portal.log(self.number, "warning", remark)
        sizes = label_sizes(outcome, work, image)
        for label in sizes[:MOST_VOLUMES]:
            self.portal.log(self.number, "info", f"{label.name}: {label.volume_ml:.1f} ml")
        if len(sizes) > MOST_VOLUMES:
            text = f"Volumes of {len(sizes) - MOST_VOLUMES} more labels are not listed."
            self.portal.log(self.number, "info", text)
        for name in outcome.files:
            self.portal.attach(self.number, work / FILES / name)
            self.portal.log(self.number, "info", name)
        self.portal.finish(self.number, "success")


def _work(ticket: results.TicketInput, service: ServiceFolder, folder: Path) -> running.RunInput:
    required = {tag.name for tag in service.descriptor.tags if tag.required}
    wanted = required | {service.dispatch.tag}
    tags = [tag for tag in service.image_tags if tag in wanted or ticket.has(tag)]
    images = {tag: ticket.tagged(tag) for tag in tags}
    return running.RunInput(
        folder=folder,
        inputs=at_time_point(images, ticket.time_point(service.dispatch), folder),
        landmarks=_landmarks(ticket, service),
    )


def _reason(error: Refused) -> str:
    """The portal's sentence in ``error``.  If a proxy responded with a page, a sentence about the status instead,
    because a page does not belong into a ticket's log.
    """
    text = " ".join(error.body.split())
    if text.startswith(("<", "{")) or " " not in text:
        return (
            f"The portal, or a proxy in front of it, refused the results (status {error.status})."
            " Please tell the provider the ticket's number."
        )
    return text[:1000]


def _landmarks(
    ticket: results.TicketInput, service: ServiceFolder
) -> dict[str, tuple[float, float, float]]:
    found = {}
    for tag in service.descriptor.tags:
        try:
            points = results.landmarks_mm(ticket, tag.name) if tag.type == "PointLandmark" else []
        except WorkspaceInvalid as error:
            raise AlgorithmFailed(str(error)) from error
        if points:
            found[tag.name] = points[0]
        elif tag.type == "PointLandmark" and tag.required:
            raise AlgorithmFailed(f"The workspace has no landmark tagged '{tag.name}'.")
    return found
