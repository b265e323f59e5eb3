"""Every message that the programs send to each other through the broker.

A deployed message changes only by adding a field with a default; anything else is a new message.
The class name is sent as the AMQP ``type``.  Paths are relative to the datastore; voxels are never sent.
More than 300 lines: the complete list of messages is in one place.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

LogLevel: TypeAlias = Literal["info", "warning", "error"]


@dataclass(frozen=True, kw_only=True)
class TicketReady:
    """A user's ticket waits for a dispatcher of its service; ``attempt`` is the number of the attempt, from 1."""

    ticket_id: int
    service: str
    service_hash: str
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class TicketWithdrawn:
    """The ticket was deleted; its dispatcher and worker stop.

    With a ``claim_id`` only that claim has ended, and others may continue.
    """

    ticket_id: int
    service: str
    claim_id: str = ""


@dataclass(frozen=True, kw_only=True)
class ClaimTicket:
    """A dispatcher requests that ``instance`` of ``provider`` may work on the ticket.  Answered by ClaimGranted or
    ClaimRefused.

    ``delivery_id`` is the message id of the TicketReady.  If a second dispatcher sends the same id, RabbitMQ has
    redelivered that message to it, and the claim moves from the first dispatcher to the second.  It does not move back:
    the request with the higher ``deliveries`` wins.
    """

    ticket_id: int
    service: str
    provider: str
    instance: str
    delivery_id: str
    deliveries: int = 1


@dataclass(frozen=True, kw_only=True)
class ClaimGranted:
    """The dispatcher may work on the ticket.  ``claim_id`` is the id of its claim, and the fencing token of its events.

    The lease ends ``lease_s`` after the last event.  ``traceparent`` is that of the ticket's submission, which may
    differ from that of the TicketReady.  ``reads_reports``: the portal understands ClaimReported.  ``input_dir`` is the
    folder with the user's files in the datastore; "" is the folder ``input`` of the ticket.
    """

    ticket_id: int
    claim_id: str
    attempt: int
    lease_s: float
    traceparent: str | None = None
    reads_reports: bool = False
    input_dir: str = ""


@dataclass(frozen=True, kw_only=True)
class ClaimRefused:
    """The dispatcher may not work on the ticket, which is deleted, finished or claimed by another dispatcher.

    The dispatcher acknowledges the TicketReady and does nothing more.
    """

    ticket_id: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class ClaimProgressed:
    """The part of the work from ``chunk_start`` to ``chunk_end`` (0..1) is done to ``progress`` (0..1)."""

    ticket_id: int
    claim_id: str
    chunk_start: float
    chunk_end: float
    progress: float


@dataclass(frozen=True, kw_only=True)
class AttachedFile:
    """A file that belongs to a line of the ticket's log.

    ``name`` is its name, without folders, in the claim's folder ``dss_datastore.layout.attached_dir``.
    """

    name: str
    description: str
    mime_type: str


@dataclass(frozen=True, kw_only=True)
class ClaimLogged:
    """A sentence for the ticket's log, which is shown to the user unchanged, with the files ``attachments``."""

    ticket_id: int
    claim_id: str
    level: LogLevel
    text: str
    attachments: tuple[AttachedFile, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReportedLine:
    """A sentence for the ticket's log, which is shown to the user unchanged."""

    level: LogLevel
    text: str


@dataclass(frozen=True, kw_only=True)
class ReportedPart:
    """The part of the work from ``chunk_start`` to ``chunk_end`` (0..1) is done to ``progress`` (0..1)."""

    chunk_start: float
    chunk_end: float
    progress: float


@dataclass(frozen=True, kw_only=True)
class ClaimReported:
    """Several log lines and steps of progress of a claim in one message.

    It is sent only if the portal has set ``reads_reports`` in ClaimGranted.
    """

    ticket_id: int
    claim_id: str
    lines: tuple[ReportedLine, ...] = ()
    parts: tuple[ReportedPart, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ClaimHeartbeat:
    """Renews the lease of the claim without other news.

    The next event may come ``pause_s`` later than usual, because the work waits for something.
    """

    ticket_id: int
    claim_id: str
    pause_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LeaseOverdue:
    """A portal has found that the lease of a claim has expired.

    It sends this to the queue of the tickets' events, so that it is handled after all earlier events of the ticket,
    which may have renewed the lease.
    """

    ticket_id: int
    claim_id: str


@dataclass(frozen=True, kw_only=True)
class ResultFile:
    """A validated file in the folder ``staged_dir`` of ClaimSucceeded.  ``name`` has no folders."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Label:
    """One value of a segmentation: 1..65535, its name, its colour (red, green, blue 0..255), its volume."""

    value: int
    name: str
    rgb: tuple[int, int, int]
    volume_ml: float


@dataclass(frozen=True, kw_only=True)
class ClaimSucceeded:
    """The work is done: all ``files`` are validated and flushed to disk.  The portal publishes them.

    ``labels`` are those of the segmentation, as the workspace has them; ``verdict`` and ``device`` are as in
    ``InferenceFinished``.  ``work_s`` is the time that the ticket took, without waiting for a worker; 0: not measured.
    ``staged_dir`` is the folder of the files in the datastore; dispatchers of earlier releases send "", which stands
    for ``layout.staging_dir``.
    """

    ticket_id: int
    claim_id: str
    files: tuple[ResultFile, ...]
    labels: tuple[Label, ...] = ()
    verdict: str = ""
    device: str = ""
    work_s: float = 0.0
    staged_dir: str = ""


@dataclass(frozen=True, kw_only=True)
class ClaimFailed:
    """The claim has failed, and so has the ticket.  ``reason`` is a sentence that tells the user what to change."""

    ticket_id: int
    claim_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class CheckResults:
    """A portal asks whether the result files of a provider over HTTP may be published.  Answered by ResultsAccepted or
    ResultsRefused.

    ``names`` are the files, without folders, in ``results_dir``; ``input_dir`` has the user's files; both are relative
    to the datastore.  The portal waits ``patience_s`` for the answer.  ``has_attachments``: the provider has attached files
    to the ticket's log, which are a result, too.
    """

    ticket_id: int
    claim_id: str
    results_dir: str
    input_dir: str
    names: tuple[str, ...]
    patience_s: float
    has_attachments: bool = False


@dataclass(frozen=True, kw_only=True)
class ResultsAccepted:
    """The files may be published: ITK-SNAP can load them, and each segmentation has the grid of its image.

    ``attachments`` are for a line of the ticket's log, as in ``ClaimLogged``; ``labels`` are those of the new
    segmentation; ``remarks`` are warnings for the user.
    """

    ticket_id: int
    claim_id: str
    attachments: tuple[AttachedFile, ...] = ()
    labels: tuple[Label, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ResultsRefused:
    """The files may not be published.  ``reason`` is a sentence for the provider: what was found and what is needed."""

    ticket_id: int
    claim_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class UploadedImage:
    """An uploaded file: an image, an archive of DICOM files, or a tar of a folder.  ``name`` has no folders.

    ``tag`` is the tag of the service that the image gets; "" stands for the main image.
    """

    name: str
    tag: str = ""


@dataclass(frozen=True, kw_only=True)
class NeededTag:
    """A tag of the service: the name of an object that it needs, and the ``type`` of the object in ITK-SNAP's words
    (``dss_broker.descriptor.TagType``).
    """

    name: str
    type: str
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class ReadUpload:
    """A portal requests that the ``images`` in ``upload_dir``, uploaded by a browser, are converted to the files of a
    ticket, as ``dss send`` does it.  Answered by UploadRead or UploadRefused.

    ``intake_id`` is the fencing token of the answer.  ``series`` names a series of a DICOM source as in
    ``dss_images.dicom.series_choice``; "" chooses a series by rule, ``each`` reads all of them, and ``ask`` refuses a
    source with several series, with a list of them.
    """

    ticket_id: int
    intake_id: str
    upload_dir: str
    images: tuple[UploadedImage, ...]
    tags: tuple[NeededTag, ...]
    series: str = ""


@dataclass(frozen=True, kw_only=True)
class ReadFile:
    """A file that was written for a ticket.  ``name`` has no folders."""

    name: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class ReadImage:
    """The files of one ticket, complete and flushed to disk in ``folder``; without files, ``reason`` is a sentence that
    says why.

    If the user asked for each series of a DICOM source, ``series`` is the series that the files were made from.
    """

    folder: str = ""
    files: tuple[ReadFile, ...] = ()
    series: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class UploadRead:
    """An upload was converted: at least one of ``images`` has files.

    The first image with files is for the ticket ``ticket_id``; each further one is for a new ticket.
    """

    ticket_id: int
    intake_id: str
    images: tuple[ReadImage, ...]


@dataclass(frozen=True, kw_only=True)
class FoundSeries:
    """A DICOM series that the user may choose: ``word`` names it in ``ReadUpload.series``, ``line`` describes it."""

    word: str
    line: str


@dataclass(frozen=True, kw_only=True)
class UploadRefused:
    """An upload cannot be converted.  ``reason`` is a sentence for the user.

    ``series`` are the series that the user can choose from; empty if a choice would not help.
    """

    ticket_id: int
    intake_id: str
    reason: str
    series: tuple[FoundSeries, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReaderAnnounced:
    """A program that reads uploads announces that it runs; with ``ends``, that it stops."""

    instance: str
    ends: bool = False


@dataclass(frozen=True, kw_only=True)
class RunInference:
    """A dispatcher asks a worker to segment ``image_path`` with ``bundle`` and to write the files into ``output_dir``.
    Both paths are relative to the datastore.

    Answered by any number of InferenceProgressed, then InferenceFinished or InferenceFailed.  With ``silence_s`` > 0
    the dispatcher has made ``output_dir``, waits ``silence_s`` for each reply, and removes the folder when the ticket
    has ended; until then, a later claim of the same ticket may use the files for the same request.
    """

    ticket_id: int
    claim_id: str
    bundle: str
    image_path: str
    output_dir: str
    parameters: dict[str, str]
    silence_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class InferenceProgressed:
    """The inference continues: ``fraction`` (0..1) of it is done, and ``stage`` is the current stage, in words."""

    ticket_id: int
    claim_id: str
    fraction: float
    stage: str


@dataclass(frozen=True, kw_only=True)
class Note:
    """A sentence from the algorithm for the ticket's log."""

    level: LogLevel
    text: str


@dataclass(frozen=True, kw_only=True)
class Landmark:
    """A point for the user to look at.  ``position_mm`` (x, y, z) is in LPS, ITK's convention; ``rgb`` is 0..255."""

    text: str
    position_mm: tuple[float, float, float]
    rgb: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class ReportFile:
    """A result file other than the segmentation, such as a list of findings or a report.  ``path`` is relative to the
    datastore.
    """

    path: str
    description: str
    mime_type: str


@dataclass(frozen=True, kw_only=True)
class InferenceFinished:
    """The inference has succeeded.  ``segmentation_path``, relative to the datastore, is a label map in the image's
    exact grid; ``reports`` are files with findings.

    ``stage_seconds`` are wall-clock seconds by stage; ``device`` is the device that computed, for instance ``cpu``, and
    ``peak_memory_bytes`` the peak use of its memory (0: not measured).  ``verdict`` is the algorithm's own judgement
    of the segmentation: ``good`` or ``look at it``; "" if it gives none.
    """

    ticket_id: int
    claim_id: str
    segmentation_path: str
    labels: tuple[Label, ...]
    notes: tuple[Note, ...]
    device: str
    stage_seconds: dict[str, float]
    peak_memory_bytes: int = 0
    landmarks: tuple[Landmark, ...] = ()
    reports: tuple[ReportFile, ...] = ()
    verdict: str = ""


@dataclass(frozen=True, kw_only=True)
class InferenceFailed:
    """The inference has failed.  ``reason`` is a sentence for the user."""

    ticket_id: int
    claim_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ServiceAnnounced:
    """A dispatcher of ``service`` announces that it runs; with ``ends``, that it stops and takes no more tickets.

    ``descriptor`` is the published part of the service.json, as ITK-SNAP reads it.  The dispatcher requests inference
    from workers of ``bundle``; "" means an HTTP server.  ``parallel`` is the largest number of tickets that it holds
    claims of at a time; 0: not stated.
    """

    service: str
    provider: str
    instance: str
    descriptor: dict[str, Any]
    bundle: str = ""
    ends: bool = False
    parallel: int = 0


@dataclass(frozen=True, kw_only=True)
class WorkerAnnounced:
    """An inference worker for ``bundle`` announces that it runs on ``device``; with ``ends``, that it stops and takes
    no more requests.
    """

    bundle: str
    instance: str
    device: str
    ends: bool = False


ClaimEvent: TypeAlias = (
    ClaimProgressed | ClaimLogged | ClaimReported | ClaimHeartbeat | ClaimSucceeded | ClaimFailed
)
"""What a dispatcher tells the portal of a claim."""

Reply: TypeAlias = (
    ClaimGranted
    | ClaimRefused
    | ResultsAccepted
    | ResultsRefused
    | InferenceProgressed
    | InferenceFinished
    | InferenceFailed
)
"""Answers to a request, sent to the queue that the request names."""

Message: TypeAlias = (
    TicketReady
    | TicketWithdrawn
    | ClaimTicket
    | ClaimEvent
    | LeaseOverdue
    | CheckResults
    | ReadUpload
    | UploadRead
    | UploadRefused
    | ReaderAnnounced
    | RunInference
    | ServiceAnnounced
    | WorkerAnnounced
    | Reply
)
