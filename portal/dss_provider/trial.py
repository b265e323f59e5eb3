"""Runs ``dss service test``: an algorithm on files of this machine, with the steps and checks of a ticket."""

import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dss_images.default_colours import default_colour
from dss_images.errors import ImageRefused
from dss_images.picture.making import of_files
from dss_provider import results, running
from dss_provider.errors import AlgorithmFailed
from dss_provider.folder import ServiceFolder
from dss_provider.outcome import FILES, AlgorithmOutcome, Point, default_name
from dss_provider.processes import ProgressListener
from dss_provider.sizes import label_sizes
from dss_workspace import layers as ws
from dss_workspace.registry import Folder

NUMBER = 1
"""Ticket number in the files of a trial."""
PICTURE = "picture.png"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The outcome of a trial: the lines to print, and the files that a user would get, with a picture."""

    lines: tuple[str, ...]
    files: tuple[Path, ...]


def tried(
    service: ServiceFolder,
    inputs: Mapping[str, Path],
    landmarks: Mapping[str, Point],
    work: Path,
    told: ProgressListener,
) -> Trial:
    """Run the algorithm on ``inputs``, which are files by tag, and build its result in ``work``.  Raises
    AlgorithmFailed.
    """
    sent, made = work / "input", work / "work"
    sent.mkdir()
    made.mkdir()
    ticket = _ticket(service, inputs, sent)
    copies = {tag: ticket.tagged(tag) for tag in inputs}
    given = running.RunInput(folder=made, inputs=copies, landmarks=landmarks)
    outcome = running.run(service, given, told, threading.Event())
    built = results.build(NUMBER, ticket, service, outcome, made)
    image = inputs[service.dispatch.tag]
    lines = [
        f"{label.value:5d}  {label.name:30}  {label.volume_ml:12.1f} ml"
        for label in label_sizes(outcome, made, image)
    ]
    lines += _unnamed(outcome)
    lines += [f"Mesh: {mesh.called}" for mesh in outcome.meshes]
    lines += [f"Landmark: {text}" for text in outcome.landmarks]
    lines += [f"Image: {extra.called}" for extra in outcome.images]
    lines += [f"Warning: {remark}" for remark in (*outcome.remarks, *built.remarks)]
    files = [*built.files, *(made / FILES / name for name in outcome.files)]
    return Trial(
        lines=tuple(lines or ["No label was found."]),
        files=(*files, *_picture(outcome, built.files, image, made)),
    )


def _unnamed(outcome: AlgorithmOutcome) -> list[str]:
    """A warning about labels to which the algorithm gives no name; [] if it names all."""
    labels = (label for found in outcome.segmentations for label in found.labels)
    values = sorted({n.value for n in labels if n.name == default_name(n.value)})
    if not values:
        return []
    told = ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")
    text = (
        f"Warning: no name is given for the value {told}; users read '{default_name(values[0])}'. Names stand beside the "
        "array, or in dispatch.labels of service.json."
    )
    return [text]


def _ticket(service: ServiceFolder, inputs: Mapping[str, Path], folder: Path) -> results.Input:
    """A ticket like one that a user would send.  The image with the service's tag is the main image."""
    workspace = Folder(entries={"SaveLocation": folder.as_posix(), "Version": ""})
    main = service.dispatch.tag
    for i, tag in enumerate([main, *(tag for tag in inputs if tag != main)]):
        name = f"image_{i}{_suffix(inputs[tag])}"
        shutil.copyfile(inputs[tag], folder / name)
        layer = workspace.make(f"Layers.{ws.layer_key(i)}")
        layer.set("AbsolutePath", name)
        layer.set("Role", ws.Role.OVERLAY if i else ws.Role.MAIN)
        layer.set("Tags", tag)
    return results.Input(folder=folder, workspace=workspace, layers=ws.layers(workspace))


def _suffix(path: Path) -> str:
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix


def _picture(
    outcome: AlgorithmOutcome, files: tuple[Path, ...], image: Path, work: Path
) -> tuple[Path, ...]:
    """A picture of the first segmentation; () if there is none."""
    found = [path for path in files if path.name.startswith("seg_")]
    if not outcome.segmentations or not found:
        return ()
    colours = {n.value: n.rgb or default_colour(n.value) for n in outcome.segmentations[0].labels}
    try:
        content = of_files(image, found[0], colours)
    except ImageRefused as error:
        raise AlgorithmFailed(str(error)) from error
    if content is None:
        return ()
    (work / PICTURE).write_bytes(content)
    return (work / PICTURE,)
