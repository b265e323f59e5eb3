"""Reads and checks a ticket's input: one workspace, its images, and the image to segment."""

from dataclasses import dataclass
from pathlib import Path

from dss_broker.descriptor import Tag
from dss_datastore import file_names
from dss_dispatch.errors import TicketError, workspace_errors
from dss_dispatch.service import IMAGE_ROLES, Service
from dss_dispatch.submission.marked_region import MarkedRegion, read_marked_region
from dss_dispatch.ticket_images import (
    ImageHeader,
    grid_difference,
    label_values,
    read_header,
    read_volume,
)
from dss_workspace import layers as ws
from dss_workspace.layers import Layer, Role
from dss_workspace.meshes import mesh_file_names
from dss_workspace.registry import Folder, read

WORKSPACE_SUFFIX = ".itksnap"


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A ticket's input that the service accepts.

    ``target`` is the layer to segment, ``image`` its header, ``region`` the part that the user has marked.
    """

    folder: Path
    workspace: Folder
    layers: tuple[Layer, ...]
    target: Layer
    image: ImageHeader
    region: MarkedRegion

    def path(self, layer: Layer) -> Path:
        return self.folder / layer.file_name

    @property
    def segmentations(self) -> tuple[Layer, ...]:
        """The segmentation layers in the workspace that the user sent."""
        return tuple(layer for layer in self.layers if layer.role == Role.SEGMENTATION)


@workspace_errors()
def read_submission(folder: Path, service: Service) -> Submission:
    """Read a ticket's input folder.  Raises TicketError if the service cannot work on it."""
    workspace = _read_workspace(folder)
    layers = ws.layers(workspace)
    ws.require_separate_files(workspace)
    _require_files(folder, layers)
    _require_names({layer.file_name for layer in layers} | set(mesh_file_names(workspace)))
    for tag in service.tags:
        _require_tag(layers, tag)
    target = tagged_layer(layers, service.target_tag)
    if target.is_registered:
        raise TicketError(ws.REGISTERED.format(target.called))
    image = read_volume(folder / target.file_name)
    _require_volume(image, service)
    main = read_header(folder / layers[0].file_name)
    _require_main_grid(image, main)
    submission = Submission(
        folder=folder,
        workspace=workspace,
        layers=layers,
        target=target,
        image=image,
        region=read_marked_region(workspace, service.dispatch, image),
    )
    for layer in submission.segmentations:  # the image to segment is checked by the worker
        label_values(submission.path(layer))
        _require_loadable(layer, read_header(submission.path(layer)), main)
    return submission


def _read_workspace(folder: Path) -> Folder:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [path for path in files if path.suffix.casefold() == WORKSPACE_SUFFIX]
    if len(found) != 1:
        have = f"{len(found)} workspaces" if found else "no workspace"
        raise TicketError(f"The ticket has {have}; it needs exactly one file '.itksnap'.")
    if not is_plain_file(found[0]):
        raise TicketError("The workspace of the ticket is not a plain file.")
    return read(found[0])


def is_plain_file(path: Path) -> bool:
    """True for a regular file; False for anything else, also for a link to one, because a link could lead out of the
    datastore.
    """
    return path.is_file() and not path.is_symlink()


def _require_files(folder: Path, layers: tuple[Layer, ...]) -> None:
    for layer in layers:
        if not is_plain_file(folder / layer.file_name):
            raise TicketError(
                f"The file '{layer.file_name}' of the workspace's layer {layer.key} was not uploaded."
            )


def _require_names(names: set[str]) -> None:
    """Raises TicketError if some operating system cannot store one of the file names, or takes two for the same file,
    because the files become part of the result.
    """
    for name in sorted(names):
        fault = file_names.problem(name)
        if fault:
            raise TicketError(
                f"Not every system can store the file '{name}': {fault}. Rename it, and submit again."
            )
        if other := file_names.same_file(name, names):
            raise TicketError(
                f"'{name}' and '{other}' are the same file on some systems. Rename one, and submit "
                "again."
            )


def _require_loadable(layer: Layer, image: ImageHeader, main: ImageHeader) -> None:
    """Raises TicketError for a segmentation that has several values in each voxel, or another size than the main image,
    because ITK-SNAP would refuse the workspace.
    """
    advice = "Remove it from the workspace, or resample it to the main image, and submit again."
    if image.components != 1:
        raise TicketError(
            f"Your own segmentation {layer.called} has {image.components} values in each voxel; a "
            f"segmentation has 1. {advice}"
        )
    if image.size[:3] != main.size[:3]:
        found, needed = (" x ".join(str(n) for n in i.size[:3]) for i in (image, main))
        raise TicketError(
            f"Your own segmentation {layer.called} has {found} voxels, but the main image has "
            f"{needed}. {advice}"
        )


def _require_tag(layers: tuple[Layer, ...], tag: Tag) -> None:
    if tag.required and tag.type in IMAGE_ROLES:
        tagged_layer(layers, tag)


def tagged_layer(layers: tuple[Layer, ...], tag: Tag) -> Layer:
    """The one layer with ``tag``.  Raises TicketError if no layer or several have the tag, or if the tag does not fit
    the layer's role.
    """
    found = [layer for layer in layers if tag.name in layer.tags]
    if not found:
        raise TicketError(
            f"The workspace has no layer tagged '{tag.name}'. In ITK-SNAP, assign a layer to "
            f"'{tag.name}' on the Submit page; with itksnap-wt, use -tags-add."
        )
    if len(found) > 1:
        raise TicketError(f"{len(found)} layers are tagged '{tag.name}'; only one may be.")
    if found[0].role not in IMAGE_ROLES[tag.type]:
        raise TicketError(
            f"The tag '{tag.name}' is on a layer of role {found[0].role}, but is for a {tag.type}."
        )
    return found[0]


def _require_volume(image: ImageHeader, service: Service) -> None:
    if image.dimensions != 3 and not (image.dimensions == 4 and service.dispatch.time_point):
        raise TicketError(f"The image has {image.dimensions} dimensions; this service needs 3.")


def _require_main_grid(image: ImageHeader, main: ImageHeader) -> None:
    difference = grid_difference(image, main)
    if difference:
        raise TicketError(
            "The tagged layer does not lie in the grid of the main image, where ITK-SNAP shows "
            f"segmentations: {difference}. Make it the main image."
        )
