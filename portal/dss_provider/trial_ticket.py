"""The ticket of a trial: copies of the images, and a workspace that names them, as a user would send them."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from dss_provider import results
from dss_provider.folder import ServiceFolder
from dss_provider.images import grid_of
from dss_provider.outcome import Point
from dss_workspace import layers as ws
from dss_workspace.landmarks import add_landmarks
from dss_workspace.registry import Folder, serialize


def write_workspace(
    service: ServiceFolder, images: Mapping[str, Path], landmarks: Mapping[str, Point], path: Path
) -> None:
    """Write a workspace with ``images`` and ``landmarks`` (LPS, mm), both by tag, to ``path``, and copies of the images
    beside it.  Raises AlgorithmFailed if the main image is refused.
    """
    ticket = ticket_of(service, images, path.parent)
    for layer in ws.layer_folders(ticket.workspace).values():
        layer.set("AbsolutePath", (path.parent / layer.get("AbsolutePath")).as_posix())
    grid = grid_of(images[service.dispatch.tag])
    add_landmarks(ticket.workspace, results.marks_of(grid, landmarks))
    path.write_bytes(serialize(ticket.workspace, is_project=False))


def ticket_of(
    service: ServiceFolder, inputs: Mapping[str, Path], folder: Path
) -> results.TicketInput:
    """The files of a ticket as a user would send it, made in ``folder`` from copies of ``inputs``.  The image with the
    service's own tag is the main image.
    """
    workspace = Folder(entries={"SaveLocation": folder.as_posix(), "Version": ""})
    main = service.dispatch.tag
    for i, tag in enumerate([main, *(tag for tag in inputs if tag != main)]):
        name = f"image_{i}{_suffix(inputs[tag])}"
        shutil.copyfile(inputs[tag], folder / name)
        layer = workspace.make(f"Layers.{ws.layer_key(i)}")
        layer.set("AbsolutePath", name)
        layer.set("Role", ws.Role.OVERLAY if i else ws.Role.MAIN)
        layer.set("Tags", tag)
    return results.TicketInput(folder=folder, workspace=workspace, layers=ws.layers(workspace))


def _suffix(path: Path) -> str:
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix
