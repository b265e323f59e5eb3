"""The last check of a result that a provider has uploaded over HTTP.

The rules are those of ``gate``, but files without a layer are allowed, such as reports and earlier uploads, because a
provider cannot remove a file.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from dss_dispatch.errors import TicketError, workspace_errors
from dss_dispatch.result.files import sha256
from dss_dispatch.result.gate import check_names, check_values, require
from dss_dispatch.result.odd_images import odd_images
from dss_dispatch.submission.reading import WORKSPACE_SUFFIX, is_plain_file
from dss_dispatch.ticket_images import (
    INTEGER_PIXELS,
    ImageHeader,
    check_mesh,
    first_not_finite,
    grid_difference,
    has_image_suffix,
    label_range,
    label_values,
    read_header,
    same_voxels,
)
from dss_images.mesh.reading import is_mesh_name
from dss_workspace import layers as ws
from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.label_table import MAX_VALUE, label_table
from dss_workspace.landmarks import invalid_positions, landmark_positions, uncounted
from dss_workspace.layers import Layer, Role
from dss_workspace.meshes import mesh_file_names
from dss_workspace.notes import shortened
from dss_workspace.paths import is_self_contained
from dss_workspace.registry import MAX_BYTES, Folder, read

EMPTY = "The segmentation {} is empty: no voxel has a label."
NOT_FINITE = "The image {} has voxels that are not numbers (NaN or infinite), the first at {}."
OUTSIDE = "The landmark '{}' lies outside of the image."
NOTHING_NEW = "The results have nothing but what was sent: no segmentation, image, mesh, landmark or file is new."
MOST_REMARKS, LONGEST_REMARK = 20, 300
"""Largest number of remarks, and of characters of each.  They go in one message and become lines of the ticket's log."""


@workspace_errors()
def check_provider_results(
    folder: Path, names: Sequence[str], sent: Path, *, has_attachments: bool = False
) -> tuple[str, ...]:
    """Check the files ``names`` of ``folder``; ``sent`` is the folder of the user's input.  Returns warnings for the
    user, at most MOST_REMARKS, about faults that are no reason to refuse the results; () if there are none.  Results
    without anything new are such a fault, unless the provider has attached files to the log (``has_attachments``).

    Raises ResultRefused or another TicketError with a sentence; OSError if a file is removed meanwhile.
    """
    check_names(names)
    workspace = _only_workspace(folder, names)
    layers = ws.layers(workspace)
    _check_files(folder, names, workspace, layers)
    remarks = list(_odd_voxels(folder, layers, sent))
    main = read_header(folder / layers[0].file_name)
    images = dict(_submitted_images(sent, but=Role.SEGMENTATION))
    _check_images(folder, layers, main, images)
    remarks += odd_images(folder, layers, main, images)
    _check_size(workspace, main)
    for layer in layers:
        if layer.role == Role.SEGMENTATION:
            values = _checked_segmentation(folder, layer.file_name, main, workspace, sent)
            remarks += [EMPTY.format(layer.called)] if values == frozenset() else []
    meshes = dict.fromkeys(mesh_file_names(workspace))
    known = _meshes_of_user(sent) if meshes else frozenset()
    for name in meshes:
        if sha256(folder / name) not in known:
            check_mesh(folder / name, main)
    _check_landmarks(workspace, sent)
    remarks += _landmarks_outside(workspace, main, sent)
    if not has_attachments and not _has_news(folder, names, workspace, sent):
        remarks.append(NOTHING_NEW)
    return tuple(remark[:LONGEST_REMARK] for remark in shortened(remarks, MOST_REMARKS))


def _odd_voxels(folder: Path, layers: tuple[Layer, ...], sent: Path) -> Iterator[str]:
    """Warnings about layers with voxels that are NaN or infinite, except layers with the name of a file that the user
    sent.  Layers other than main image and segmentations are read only if their suffix is an image's.

    Raises TicketError for a damaged image.
    """
    for layer in layers:
        path = folder / layer.file_name
        if layer.role in {Role.MAIN, Role.SEGMENTATION} or has_image_suffix(layer.file_name):
            index = first_not_finite(path)
            if index and not (sent / layer.file_name).is_file():
                yield NOT_FINITE.format(layer.called, index)


def _only_workspace(folder: Path, names: Sequence[str]) -> Folder:
    """The one workspace of the results.  ITK-SNAP's clients need exactly one, with its suffix in lower case.

    Raises ResultRefused otherwise, and if its file is missing, a link or larger than MAX_BYTES; WorkspaceInvalid if it
    cannot be read.
    """
    found = sorted(n for n in names if n.casefold().endswith(WORKSPACE_SUFFIX))
    listed = "".join(f" '{name}'" for name in found[:3])
    require(
        len(found) == 1,
        f"the results need exactly one workspace (a file '{WORKSPACE_SUFFIX}'), and have "
        f"{len(found) or 'none'}{':' if listed else ''}{listed}",
    )
    require(found[0].endswith(WORKSPACE_SUFFIX), f"'{found[0]}' must end in '{WORKSPACE_SUFFIX}'")
    path = folder / found[0]
    require(is_plain_file(path), f"the file '{found[0]}' is missing")
    require(path.stat().st_size <= MAX_BYTES, "the workspace is larger than 16 MB")
    return read(path)


def _check_files(
    folder: Path, names: Sequence[str], workspace: Folder, layers: tuple[Layer, ...]
) -> None:
    named = {layer.file_name for layer in layers} | set(mesh_file_names(workspace))
    for name in sorted(named):
        there = name in names and is_plain_file(folder / name)
        require(there, f"the workspace names the file '{name}', which was not uploaded")
    require(
        is_self_contained(workspace),
        "a layer's path does not lie right in the workspace's SaveLocation, so that ITK-SNAP would "
        "not find its file beside the workspace",
    )


def _check_images(
    folder: Path, layers: tuple[Layer, ...], main: ImageHeader, sent: Mapping[Path, ImageHeader]
) -> None:
    """Raises ResultRefused unless the main image has the grid in space of one of the images ``sent`` (if there are any),
    and images with the names of those are unchanged.

    Segmentations are not compared.  A provider may make another layer the main image, or change intensities under a
    name of its own.
    """
    by_name = {path.name: (path, header) for path, header in sent.items()}
    for layer in layers:
        if layer.file_name in by_name and layer.role != Role.SEGMENTATION:
            same = _is_same_image(folder / layer.file_name, *by_name[layer.file_name])
            require(same, f"'{layer.file_name}' is not the image that was sent under this name")
    differences = [
        grid_difference(_without_time(main), _without_time(header)) for header in sent.values()
    ]
    require(
        not differences or "" in differences,
        f"the main image '{layers[0].file_name}' lies in the grid of no image that was sent: "
        f"{min(differences, default='')}",
    )


def _check_size(workspace: Folder, main: ImageHeader) -> None:
    require(
        ws.has_main_size(workspace, main.size) or not label_table(workspace),
        f"the workspace states another size of its image than {main.size[:3]} "
        "(ProjectMetaData.Files.Grey.Dimensions), so that ITK-SNAP would drop its labels",
    )


def _without_time(image: ImageHeader) -> ImageHeader:
    """``image`` without its time axis, because a provider may return one time point of a series as the main image."""
    return replace(image, size=image.size[:3])


def _is_same_image(path: Path, other: Path, header: ImageHeader) -> bool:
    """True for the same file, or for an image that the provider has rewritten with the same voxels and grid."""
    if sha256(path) == sha256(other):
        return True
    return read_header(path) == header and same_voxels(path, other)


def _check_landmarks(workspace: Folder, sent: Path) -> None:
    before = _sent_workspace(sent) or Folder()
    theirs = frozenset(invalid_positions(before))
    lost = [place for place in invalid_positions(workspace) if place not in theirs]
    require(not lost, f"a landmark has no place in the image: '{min(lost, default='')[:60]}'")
    unread = uncounted(workspace)
    require(
        unread <= uncounted(before),
        f"the workspace has {unread} annotations beyond their ArraySize, which ITK-SNAP would not read",
    )


def _landmarks_outside(workspace: Folder, main: ImageHeader, sent: Path) -> Iterator[str]:
    theirs = frozenset(landmark_positions(_sent_workspace(sent) or Folder()))
    for mark in landmark_positions(workspace):
        text, position = mark
        is_in = all(0 <= at <= size for at, size in zip(position, main.size[:3], strict=True))
        if mark not in theirs and not is_in:
            yield OUTSIDE.format(text)


def _has_news(folder: Path, names: Sequence[str], workspace: Folder, sent: Path) -> bool:
    """True if a file of the results, other than the workspace, is not one that the user sent under this name, or if a
    landmark is new.
    """
    before = frozenset(landmark_positions(_sent_workspace(sent) or Folder()))
    files = [name for name in names if not name.endswith(WORKSPACE_SUFFIX)]
    return any(mark not in before for mark in landmark_positions(workspace)) or any(
        not is_plain_file(sent / name) or sha256(folder / name) != sha256(sent / name)
        for name in files
    )


def _meshes_of_user(sent: Path) -> frozenset[str]:
    """SHA-256 of each mesh that the user sent.  ITK-SNAP has loaded these meshes before."""
    files = sent.iterdir() if sent.is_dir() else ()
    return frozenset(sha256(p) for p in files if is_mesh_name(p.name) and is_plain_file(p))


def _checked_segmentation(
    folder: Path, name: str, main: ImageHeader, workspace: Folder, sent: Path
) -> frozenset[int] | None:
    """Check a segmentation and return its values without 0; None if it is one that the user sent and has the main
    image's size.  Raises ResultRefused, or TicketError if it cannot be read.
    """
    image = read_header(folder / name)
    same_size = image.size[:3] == main.size[:3] and image.components == 1
    if same_size and _is_from_user(folder / name, sent):
        return None  # the user sent it, so ITK-SNAP can load it
    require(image.components == 1, f"'{name}' has {image.components} values per voxel, not one")
    require(
        image.pixel_type in INTEGER_PIXELS,
        f"the segmentation '{name}' has voxels that are no integers",
    )
    difference = grid_difference(image, main)
    require(not difference, f"the segmentation '{name}' does not lie on its image: {difference}")
    lowest, highest = label_range(folder / name)
    require(
        lowest >= 0 and highest <= MAX_VALUE,
        f"the segmentation '{name}' has values from {lowest} to {highest}, not from 0 to {MAX_VALUE}",
    )
    values = label_values(folder / name)
    check_values(values, workspace)
    return values


def _is_from_user(path: Path, sent: Path) -> bool:
    return any(
        _is_same_image(path, other, header)
        for other, header in _submitted_images(sent, only=Role.SEGMENTATION)
    )


def _submitted_images(
    folder: Path, *, only: Role | None = None, but: Role | None = None
) -> Iterator[tuple[Path, ImageHeader]]:
    """Files and headers of the layers that the user sent: those with the role ``only`` if it is given, and none with
    the role ``but``.  Layers whose file is missing, a link or unreadable are left out.
    """
    for layer in _submitted_layers(folder):
        path = folder / layer.file_name
        if (only in {None, layer.role}) and layer.role != but and is_plain_file(path):
            with suppress(TicketError):
                yield path, read_header(path)


def _submitted_layers(sent: Path) -> tuple[Layer, ...]:
    workspace = _sent_workspace(sent)
    try:
        return ws.layers(workspace) if workspace else ()
    except WorkspaceInvalid:
        return ()


def _sent_workspace(sent: Path) -> Folder | None:
    """The workspace that the user sent; None unless there is exactly one that can be read."""
    files = sorted(sent.iterdir()) if sent.is_dir() else []
    found = [path for path in files if path.suffix.casefold() == WORKSPACE_SUFFIX]
    if len(found) != 1:
        return None
    try:
        return read(found[0])
    except WorkspaceInvalid:
        return None
