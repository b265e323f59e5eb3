"""Processes one claimed ticket, from its download to its end."""

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dss_client.errors import ClientError, Refused
from dss_provider import results, running
from dss_provider.child import Outcome
from dss_provider.errors import AlgorithmFailed, Withdrawn
from dss_provider.folder import Folder
from dss_provider.portal import Portal
from dss_provider.sizes import label_sizes
from dss_workspace.errors import WorkspaceInvalid

TOLD_STEP = 0.02
"""Smallest change of the progress that is sent."""

Connect = Callable[[], Portal]


def work_on(number: int, service: Folder, connect: Connect, beat_s: float) -> str:
    """Process a ticket and return its end as a word: success, failed or withdrawn.

    The claim is renewed every ``beat_s`` seconds.  Raises ClientError if the portal stays unavailable.
    """
    portal, ended = connect(), threading.Event()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="dss-ticket-") as folder,
            _alive(number, connect, ended, beat_s),
        ):
            return _ended(number, service, portal, Path(folder), ended)
    finally:
        portal.close()


def _ended(
    number: int, service: Folder, portal: Portal, folder: Path, ended: threading.Event
) -> str:
    try:
        outcome, files = _computed(number, service, portal, folder, ended)
        _publish(number, portal, outcome, files, folder)
    except Withdrawn:
        return "withdrawn"
    except AlgorithmFailed as error:
        return _fail(number, portal, str(error))
    except Refused as error:
        return "withdrawn" if ended.is_set() else _fail(number, portal, error.body.strip())
    return "success"


def _fail(number: int, portal: Portal, sentence: str) -> str:
    """End the ticket as failed; returns "withdrawn" if the claim was lost meanwhile."""
    try:
        portal.log(number, "error", sentence)
        portal.finish(number, "failed")
    except Refused:
        return "withdrawn"
    return "failed"


def _computed(
    number: int, service: Folder, portal: Portal, folder: Path, ended: threading.Event
) -> tuple[Outcome, list[Path]]:
    sent, work = folder / "input", folder / "work"
    sent.mkdir()
    work.mkdir()
    portal.download_input(number, sent)
    ticket = results.open_input(sent)
    outcome = running.run(service, _work(ticket, service, work), _told(number, portal), ended)
    return outcome, results.build(number, ticket, service, outcome, work)


def _work(ticket: results.Input, service: Folder, folder: Path) -> running.Work:
    required = {tag.name for tag in service.descriptor.tags if tag.required}
    wanted = required | {service.dispatch.tag}
    tags = [tag for tag in service.image_tags if tag in wanted or ticket.has(tag)]
    return running.Work(
        folder=folder,
        inputs={tag: ticket.tagged(tag) for tag in tags},
        landmarks=_landmarks(ticket, service),
    )


def _landmarks(ticket: results.Input, service: Folder) -> dict[str, tuple[float, float, float]]:
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


def _told(number: int, portal: Portal) -> running.Told:
    """A function that sends progress to the portal, and adds each new text to the log."""
    last_fraction, last_text = 0.0, ""

    def told(fraction: float, text: str) -> None:
        nonlocal last_fraction, last_text
        try:
            if text and text != last_text:
                last_text = text
                portal.log(number, "info", text)
            if fraction >= last_fraction + TOLD_STEP:
                last_fraction = fraction
                portal.progress(number, fraction)
        except ClientError:
            pass  # the work goes on; whether the ticket is still ours is asked elsewhere

    return told


def _publish(
    number: int, portal: Portal, outcome: Outcome, files: list[Path], folder: Path
) -> None:
    for file in files:
        portal.upload_result(number, file)
    for remark in outcome.remarks:
        portal.log(number, "warning", remark)
    for label in label_sizes(outcome, folder / "work", _segmentation(files)):
        portal.log(number, "info", f"{label.name}: {label.volume_ml:.1f} ml")
    for name in outcome.files:
        portal.attach(number, folder / "work" / "files" / name)
        portal.log(number, "info", name)
    portal.finish(number, "success")


def _segmentation(files: list[Path]) -> Path:
    return next(file for file in files if file.name.startswith("seg_"))


@contextmanager
def _alive(number: int, connect: Connect, ended: threading.Event, beat_s: float) -> Iterator[None]:
    """A context with a thread that renews the claim, and sets ``ended`` when the claim is lost."""
    done = threading.Event()
    rounds = iter(lambda: done.wait(beat_s), True)
    thread = threading.Thread(target=_beat, args=(number, connect, ended, rounds), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _beat(number: int, connect: Connect, ended: threading.Event, rounds: Iterator[object]) -> None:
    portal = connect()
    try:
        for _ in rounds:
            try:
                if portal.status(number) != "claimed":
                    ended.set()
            except Refused:
                ended.set()
            except ClientError:
                continue  # the portal is away; it will say what has become of the ticket
    finally:
        portal.close()
