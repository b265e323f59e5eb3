"""Runs ``dss service test`` without a portal: an algorithm on files of this machine, with the steps and checks of a
ticket.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dss_broker.dispatch_section import Dispatch
from dss_images.default_colours import default_colour
from dss_images.errors import ImageRefused
from dss_images.picture.rendering import picture_of_files
from dss_provider import results, running
from dss_provider.errors import AlgorithmFailed
from dss_provider.folder import ServiceFolder
from dss_provider.images import frames_of
from dss_provider.outcome import FILES, AlgorithmOutcome, Point, default_name
from dss_provider.processes import ProgressListener
from dss_provider.sizes import LabelSize, label_sizes
from dss_provider.time_points import at_time_point
from dss_provider.trial_ticket import ticket_of
from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.time_points import tag_time_point

NUMBER = 1
"""The ticket's number in the result files of a trial."""
PICTURE = "picture.png"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The outcome of a trial: the lines to print, and the files that a user would get, with a picture of the first
    segmentation, if one can be made.
    """

    lines: tuple[str, ...]
    files: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class TrialInput:
    """The input of a trial.  ``images`` are files by tag; ``landmarks`` are in LPS, mm, by tag; ``time_point``, from 1,
    is the time point of a 4-D image that the user would tag.
    """

    images: Mapping[str, Path]
    landmarks: Mapping[str, Point]
    time_point: int | None = None


def run_trial(
    service: ServiceFolder, trial_input: TrialInput, work: Path, on_progress: ProgressListener
) -> Trial:
    """Run the algorithm on ``trial_input``, and build its result in ``work``.  Raises AlgorithmFailed if the
    algorithm fails or its result cannot be used.
    """
    sent, made = work / "input", work / "work"
    sent.mkdir()
    made.mkdir()
    ticket = ticket_of(service, trial_input.images, sent)
    if trial_input.time_point is not None:
        _choose(ticket, service.dispatch, trial_input.time_point)
    chosen = ticket.time_point(service.dispatch)
    warning = ticket.series_warning(service.dispatch)
    copies = at_time_point({tag: ticket.tagged(tag) for tag in trial_input.images}, chosen, made)
    run = running.RunInput(folder=made, inputs=copies, landmarks=trial_input.landmarks)
    outcome = running.run(service, run, on_progress, threading.Event())
    built = results.build(NUMBER, ticket, service, outcome, made)
    image = trial_input.images[service.dispatch.tag]
    sizes = label_sizes(outcome, made, image)
    remarks = (*([warning] if warning else []), *built.remarks)
    lines = _lines(outcome, sizes, remarks) or ["No label was found."]
    files = [*built.files, *(made / FILES / name for name in outcome.files)]
    return Trial(
        lines=(chosen.remark, *lines) if chosen else tuple(lines),
        files=(*files, *_picture(outcome, built.segmentations, image, made)),
    )


def _lines(
    outcome: AlgorithmOutcome, sizes: Iterable[LabelSize], remarks: Iterable[str]
) -> list[str]:
    lines = [f"{s.value:5d}  {s.name:30}  {s.volume_ml:12.1f} ml" for s in sizes]
    lines += _unnamed(outcome)
    lines += [f"Mesh: {mesh.called}" for mesh in outcome.meshes]
    lines += [f"Landmark: {text}" for text in outcome.landmarks]
    lines += [f"Image: {extra.called}" for extra in outcome.images]
    return lines + [f"Warning: {remark}" for remark in (*outcome.remarks, *remarks)]


def _choose(ticket: results.TicketInput, dispatch: Dispatch, time_point: int) -> None:
    """Tag the time point in the ticket's workspace, as a user would.  Raises AlgorithmFailed if the service takes none
    or the image has none of that number.
    """
    if not dispatch.time_point:
        raise AlgorithmFailed(
            "The service takes no --time-point: dispatch.time_point of service.json names no tag for one."
        )
    count = frames_of(ticket.tagged(dispatch.tag))
    try:
        tag_time_point(ticket.workspace, time_point, dispatch.time_point, count)
    except WorkspaceInvalid as error:
        raise AlgorithmFailed(str(error)) from error


def _unnamed(outcome: AlgorithmOutcome) -> list[str]:
    """A warning about labels to which neither the algorithm nor ``service.json`` gives a name; [] if all have names."""
    labels = (label for found in outcome.segmentations for label in found.labels)
    values = sorted({n.value for n in labels if n.name == default_name(n.value)})
    if not values:
        return []
    counted = "value" if len(values) == 1 else "values"
    shown = ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")
    text = (
        f"Warning: no name is given for the {counted} {shown}; users read '{default_name(values[0])}'. Names stand beside the "
        "array, or in dispatch.labels of service.json."
    )
    return [text]


def _picture(
    outcome: AlgorithmOutcome, segmentations: Sequence[Path], image: Path, work: Path
) -> tuple[Path, ...]:
    """The file with a picture of the first of ``segmentations``, the files of the outcome's segmentations in their
    order; () if there is none or no picture of it.  Raises AlgorithmFailed if a file is damaged.
    """
    if not segmentations:
        return ()
    colours = {n.value: n.rgb or default_colour(n.value) for n in outcome.segmentations[0].labels}
    try:
        content = picture_of_files(image, segmentations[0], colours)
    except ImageRefused as error:
        raise AlgorithmFailed(str(error)) from error
    if content is None:
        return ()
    (work / PICTURE).write_bytes(content)
    return (work / PICTURE,)
