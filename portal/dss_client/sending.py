"""Sends one image to a service, in the order of the steps of ITK-SNAP's Submit and Results tabs.  ``batch`` uses the
functions for the single steps.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dss_client import flows
from dss_client.checksums import is_there, require_same
from dss_client.error_sentences import is_missing
from dss_client.errors import NotUnderstood, Refused, TicketNotOpen
from dss_client.estimate_polling import EstimatePoller
from dss_client.extras import command_for, installed
from dss_client.flows import SelectedService, SubmissionListener
from dss_client.itksnap import ItkSnap
from dss_client.multipart import Progress
from dss_client.plain_nifti import copy_unchanged
from dss_client.records import Detail, LogLine
from dss_client.shared_folders import require_no_others_files
from dss_client.volumes import LabelVolume, measure
from dss_client.workspace import read_outcome
from dss_submission.preparing import Source, Write, prepare

POLL_S = 1.0
"""Seconds between two requests of a ticket's state; a quarter of ITK-SNAP's, because a user is watching."""


class Watcher(SubmissionListener, Protocol):
    """Is told about the progress of a ticket, and shows it to the user."""

    def note(self, text: str) -> None:
        """Show a sentence."""

    def polled(self, detail: Detail) -> None:
        """Show the ticket's state and the new log lines."""

    def expected(self, sentence: str) -> None:
        """Show the estimate of when the ticket will be done; "" if it is not known."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """The downloaded results of a ticket.  ``segmentations`` are the label maps among the ``files``, in the order of the
    workspace's layers.  ``measured`` is false if the volumes of the labels were not measured, because the extra
    ``images`` is not installed.
    """

    files: tuple[Path, ...]
    workspace: Path
    segmentations: tuple[Path, ...]
    labels: tuple[LabelVolume, ...]
    measured: bool = True


@dataclass(frozen=True, kw_only=True)
class Sent:
    """The outcome of a sent image.  ``results`` is None unless the status is success.

    ``seconds`` has the duration of each stage: prepare, upload, queue and work (both as exact as POLL_S), download, and
    total.
    """

    ticket: int
    status: str
    log: tuple[LogLine, ...]
    seconds: dict[str, float]
    results: Results | None


@dataclass
class Stopwatch:
    """Measures the duration of each stage and the total, in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)
    _began_s: float = field(default_factory=time.monotonic)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began_s = time.monotonic()
        yield
        self.add(name, time.monotonic() - began_s)

    def add(self, name: str, seconds: float) -> None:
        self.seconds[name] = round(self.seconds.get(name, 0.0) + seconds, 3)

    def stop(self) -> dict[str, float]:
        return self.seconds | {"total": round(time.monotonic() - self._began_s, 3)}


def send(
    client: ItkSnap,
    source: Source | Path,
    service: str,
    output: Path | None,
    watcher: Watcher,
    *,
    title: str = "",
) -> Sent:
    """Send the image, wait for its ticket and, if it succeeds, download the results to ``output``, by default the
    folder ``ticket_`` and the number with eight digits.  ``title`` is the ticket's name in the user's list.

    The client must be signed in.  Raises ClientError, and OSError for a local file.
    """
    watch = Stopwatch()
    source = Source(path=source) if isinstance(source, Path) else source
    found = selected_service(client, service)
    if sentence := client.service_estimates(_sent_bytes(source.path)).get(found.githash):
        watcher.note(sentence)
    ticket = submit(client, source, found, watcher, watch, title=title)
    ended, log = _follow(client, ticket, watcher, watch)
    results = None
    if ended.status == "success":
        with watch.stage("download"):
            results = fetch(client, ticket, output or Path(f"ticket_{ticket:08d}"), watcher)
    return Sent(ticket=ticket, status=ended.status, log=log, seconds=watch.stop(), results=results)


def _sent_bytes(path: Path) -> int:
    """The size in bytes of a file ``.nii.gz``, which is sent unchanged; 0 for another, because the size that is sent is
    not known yet.
    """
    return path.stat().st_size if path.name.endswith(".nii.gz") and path.is_file() else 0


def fetch(client: ItkSnap, ticket: int, folder: Path, watcher: Watcher) -> Results:
    """Download the results of a ticket with the state success into ``folder``, and measure the labels if the extra
    ``images`` is installed.  Raises ClientError; NotUnderstood unless there is exactly one workspace.
    """
    files = downloaded(client, ticket, folder, download_progress(watcher))
    workspaces = [path for path in files if path.suffix == ".itksnap"]
    if len(workspaces) != 1:
        raise NotUnderstood(f"The results hold {len(workspaces)} workspaces; one is needed.")
    outcome = read_outcome(workspaces[0])
    measured = installed("images")
    if not measured:
        watcher.note(f"The labels are not measured. To have that: {command_for('images')}")
    return Results(
        files=tuple(files),
        workspace=workspaces[0],
        segmentations=outcome.segmentations,
        labels=tuple(measure(outcome)) if measured else (),
        measured=measured,
    )


def download_progress(watcher: SubmissionListener) -> Progress:
    """A Progress for a download.  ``watcher`` shows the stage with the first bytes, because the server may refuse the
    download.
    """
    begun = False

    def moved(done_bytes: int, total_bytes: int) -> None:
        nonlocal begun
        if not begun:
            begun = True
            watcher.stage("Downloading")
        watcher.moved(done_bytes, total_bytes)

    return moved


def downloaded(
    client: ItkSnap, ticket: int, folder: Path, moved: Progress | None = None
) -> list[Path]:
    """Download the results of a ticket with the state success, except files that an earlier download has completed, and
    return the paths of all.  Raises NotUnderstood if a file differs from the server's checksum, if it has one, and
    BelongsToAnother, before anything is written, if a file of another ticket's results would be replaced.
    """
    sums = client.checksums(ticket)
    files = client.download_results(
        *(ticket, folder, moved, lambda path: is_there(path, sums)),
        check=lambda paths: require_no_others_files(ticket, paths, sums),
    )
    require_same(files, sums)
    return files


def selected_service(client: ItkSnap, service: str) -> SelectedService:
    """The newest service with the name ``service``, or the one with the hash ``service``, with its description.  Raises
    ServiceUnfit if the server does not list it.
    """
    return client.run(flows.selected_service(service))


def submit(
    client: ItkSnap,
    source: Source,
    service: SelectedService,
    watcher: Watcher,
    watch: Stopwatch,
    *,
    note: Callable[[int], object] = lambda _: None,
    title: str = "",
    key: str = "",
) -> int:
    """Create and submit a ticket with the files that ``source`` names, and return its number.  ``note`` is called with
    the number as soon as the ticket exists; ``watch`` measures the stages; ``key`` is as in ``flows.submit``.

    Raises ClientError, after deleting the ticket if the server responds.
    """
    with tempfile.TemporaryDirectory(
        prefix="alfabis_"
    ) as folder:  # ITK-SNAP's name for this folder
        with watch.stage("prepare"):
            way = None if installed("images") else copy_unchanged
            write = _noting(note, prepare(source, service.detail, Path(folder), watcher, way))
        with watch.stage("upload"):
            steps = flows.submit(service.githash, Path(folder), write, watcher, title, key=key)
            try:
                return client.run(steps)
            except Refused as error:
                if not is_missing(error):
                    raise
                raise TicketNotOpen(error.status, error.body) from error


def _noting(note: Callable[[int], object], write: Write) -> Write:
    def noted(number: int) -> Path:
        note(number)
        return write(number)

    return noted


def _follow(
    client: ItkSnap, ticket: int, watcher: Watcher, watch: Stopwatch
) -> tuple[Detail, tuple[LogLine, ...]]:
    watcher.stage("Waiting")
    log: list[LogLine] = []
    watch.add("queue", 0.0)  # a ticket may end before it was seen waiting
    began_s = time.monotonic()
    estimate = EstimatePoller(client, ticket)
    for detail in client.wait(ticket, every_s=POLL_S):
        now_s = time.monotonic()
        watch.add("queue" if detail.status == "ready" else "work", now_s - began_s)
        began_s = now_s
        log += detail.log
        watcher.expected(estimate.after(detail))
        watcher.polled(detail)
    return detail, tuple(log)
