"""Collects the data that a ticket's page shows."""

from collections.abc import Sequence
from dataclasses import dataclass

from dss_broker.messages import FoundSeries
from dss_portal.admin import overview
from dss_portal.attachments import inline
from dss_portal.attachments.inline import InlineAttachment
from dss_portal.datastore import Datastore
from dss_portal.estimates.estimates import Estimates, ServiceVersion
from dss_portal.intake import store as intakes
from dss_portal.intake.states import State
from dss_portal.models import (
    Attachment,
    Claim,
    Status,
    Ticket,
    TicketFile,
    TicketHistory,
    TicketLabel,
)
from dss_portal.services import liveness
from dss_portal.services.liveness import SENTENCES, MissingProgram
from dss_portal.tickets import progress, queue_places, reasons, segmentation_facts, store, viewing
from dss_portal.tickets.stages import Stage, stages
from dss_portal.tickets.views import LogLine, QueuePlace

SHOWN_LINES = 500
MOST_WARNINGS = 20
RENEWALS = 10
"""How often an open page asks for the time that is left until the ticket is done, if nothing else changes."""
LEAST_RENEW_S, MOST_RENEW_S = 15, 300
"""Limits of the age in seconds at which a page asks; the upper one holds where the time that is left is not known."""
FAILED = (Status.FAILED, Status.TIMEOUT)


@dataclass(frozen=True, kw_only=True)
class Upload:
    """What a ticket's page shows about an upload from a browser, before the ticket is queued.  ``sentence`` says its
    state; ``series`` are the DICOM series that were found, from which the user can choose.

    ``is_refused``: the upload cannot be used as it is.  ``is_stuck``: no program reads uploads now.  ``is_wanted``: the
    browser must send more files.
    """

    sentence: str
    series: Sequence[FoundSeries]
    is_refused: bool
    is_stuck: bool
    is_wanted: bool


@dataclass(frozen=True, kw_only=True)
class TicketView:
    """The data of a ticket's page.  ``expected`` says when a waiting or claimed ticket will be done, ``reason`` why it
    failed or timed out, and ``missing``, until it is claimed, which program its service lacks; each is "" if there is
    nothing to say.

    ``progress`` is 0..1.  ``place`` is None unless the ticket waits and its service lacks no program.  ``warnings`` is
    empty unless it has succeeded.  ``renew_s`` is the age in seconds at which an open page fetches its times again; 0
    if they change no more.  ``picture``, ``further_pictures`` and ``reports`` are those of the last attempt.
    """

    stages: tuple[Stage, ...]
    progress: float
    place: QueuePlace | None
    expected: str
    renew_s: int
    missing: str
    reason: str
    picture: Attachment | None
    further_pictures: Sequence[Attachment]
    labels: Sequence[TicketLabel]
    warnings: Sequence[str]
    reports: Sequence[InlineAttachment]
    intake: Upload | None
    inputs: Sequence[TicketFile]
    results: Sequence[TicketFile]
    log: Sequence[LogLine]
    history: Sequence[TicketHistory]
    claims: Sequence[Claim]

    @property
    def is_viewable(self) -> bool:
        return viewing.workspace_area(self.inputs, self.results) is not None

    @property
    def total_bytes(self) -> int:
        """Total size of the result files in bytes."""
        return sum(file.size_bytes for file in self.results)

    @property
    def total_ml(self) -> float:
        return sum(label.volume_ml for label in self.labels)


async def view_of(
    datastore: Datastore, estimates: Estimates, ticket: Ticket, *, with_claims: bool
) -> TicketView:
    """Collect the data of the ticket's page, with the last SHOWN_LINES lines of its log; ``with_claims`` includes the
    claims, for admins.  ``ticket`` must have its service and user loaded.
    """
    log = await store.newest_log(ticket.id, SHOWN_LINES)
    missing = await _missing_program(ticket)
    history = await overview.history(ticket.id)
    attached = attached_files(log, history) if ticket.status is not Status.DELETED else []
    picture = newest_picture(attached)
    is_done = ticket.status is Status.SUCCESS
    expected, renew_s = await _expected(estimates, ticket)
    return TicketView(
        stages=stages(history, ticket.status, store.now()),
        progress=await _progress(ticket),
        place=await queue_places.place(ticket) if missing is MissingProgram.NONE else None,
        expected=expected,
        renew_s=renew_s,
        missing=SENTENCES[missing] if missing is not MissingProgram.NONE else "",
        reason=await _reason(ticket),
        picture=picture,
        further_pictures=[a for a in inline.pictures(attached) if a is not picture],
        labels=await segmentation_facts.labels(ticket.id),
        warnings=warnings(log, history) if is_done else (),
        reports=await inline.inline_attachments(datastore, attached),
        intake=await _upload(ticket),
        inputs=await store.files(ticket.id, "input"),
        results=await store.files(ticket.id, "results"),
        log=log,
        history=history,
        claims=await overview.claims(ticket.id) if with_claims else (),
    )


async def picture_of(ticket: Ticket) -> Attachment | None:
    """The last picture of the last attempt that is attached to the last SHOWN_LINES lines of the ticket's log; None if
    there is none, or if the ticket is deleted.
    """
    if ticket.status is Status.DELETED:
        return None
    log = await store.newest_log(ticket.id, SHOWN_LINES)
    return newest_picture(attached_files(log, await overview.history(ticket.id)))


def attached_files(log: Sequence[LogLine], history: Sequence[TicketHistory]) -> list[Attachment]:
    """The attachments of the last attempt's lines, in the order of ``log``."""
    return [file for line in last_attempt(log, history) for file in line.attachments]


def last_attempt(log: Sequence[LogLine], history: Sequence[TicketHistory]) -> list[LogLine]:
    """The lines of ``log`` since the ticket's last claim; none if it waits (again), or was never claimed."""
    begun = [entry for entry in history if entry.status in {Status.READY, Status.CLAIMED}]
    if not begun or begun[-1].status is Status.READY:
        return []
    return [line for line in log if line.entry.at >= begun[-1].at]


def newest_picture(attached: Sequence[Attachment]) -> Attachment | None:
    """The last picture of ``attached``, which are in the order of the log; None if none is a picture."""
    return next(filter(inline.is_picture, reversed(attached)), None)


async def _expected(estimates: Estimates, ticket: Ticket) -> tuple[str, int]:
    """A sentence that says when the ticket will be done, or that this is not known, and ``TicketView.renew_s``.

    "" for a ticket that neither waits nor is claimed.  Also "" if there is no forecast while the service lacks a
    program: of a waiting ticket, ``TicketView.missing`` then says so.
    """
    if ticket.status not in {Status.READY, Status.CLAIMED}:
        return "", 0
    service = ticket.service
    version = ServiceVersion(id=service.id, name=service.name, current=service.current)
    found = (await estimates.expected({ticket.id: version}))[ticket.id]
    if found.forecast is None:
        return found.sentence if found.missing is MissingProgram.NONE else "", MOST_RENEW_S
    renew_s = round(found.forecast.ends_s / RENEWALS)
    return found.sentence, min(max(renew_s, LEAST_RENEW_S), MOST_RENEW_S)


async def _progress(ticket: Ticket) -> float:
    is_claimed = ticket.status is Status.CLAIMED
    chunks = await store.progress_chunks(ticket.id) if is_claimed else ()
    return progress.shown(ticket.status, chunks)


async def _missing_program(ticket: Ticket) -> MissingProgram:
    """The kind of program that the ticket's service lacks, for a ticket in ``init`` or ``ready``; NONE for any other
    ticket, because the program of a claimed ticket is watched by the lease.
    """
    if ticket.status not in {Status.INIT, Status.READY}:
        return MissingProgram.NONE
    available = (await liveness.availability()).get(ticket.service.name)
    if available is None:
        return MissingProgram.NONE
    return available.missing_for(ticket.service.id, current=ticket.service.current)


async def _upload(ticket: Ticket) -> Upload | None:
    found = await intakes.find(ticket.id) if ticket.status is Status.INIT else None
    if found is None or found.state == State.DONE:
        return None
    sentence = await intakes.sentence(found)
    return Upload(
        sentence=sentence,
        series=intakes.series_of(found),
        is_refused=found.state == State.REFUSED,
        is_stuck=sentence == intakes.NO_READER,
        is_wanted=found.state == State.COMING,
    )


async def _reason(ticket: Ticket) -> str:
    if ticket.status not in FAILED:
        return ""
    return (await reasons.reasons([ticket.id])).get(ticket.id, "")


def warnings(log: Sequence[LogLine], history: Sequence[TicketHistory]) -> list[str]:
    """The texts of the first MOST_WARNINGS warnings of the last attempt, each text once."""
    lines = [line.entry for line in last_attempt(log, history)]
    messages = [entry.message for entry in lines if entry.category == "warning"]
    return list(dict.fromkeys(messages))[:MOST_WARNINGS]
