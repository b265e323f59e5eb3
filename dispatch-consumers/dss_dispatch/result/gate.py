"""The last check of a dispatcher's result before the user may download it.  It reads every file back from disk.

A misaligned segmentation is the worst error that this product could make.
"""

from collections.abc import Iterable
from pathlib import Path

from dss_broker.messages import ResultFile
from dss_datastore import file_names
from dss_dispatch.errors import ImageDamaged, ResultRefused, workspace_errors
from dss_dispatch.result.files import result_file
from dss_dispatch.submission.reading import WORKSPACE_SUFFIX, is_plain_file
from dss_dispatch.ticket_images import (
    UNSIGNED_PIXELS,
    ImageHeader,
    grid_difference,
    label_values,
    read_header,
)
from dss_workspace import layers as ws
from dss_workspace.label_table import label_table
from dss_workspace.layers import Layer, Role
from dss_workspace.meshes import mesh_file_names
from dss_workspace.paths import has_uniform_folder
from dss_workspace.registry import Folder, read


@workspace_errors()
def check_results(folder: Path, segmentation: str) -> tuple[ResultFile, ...]:
    """Check that ITK-SNAP can load ``folder``, that ``segmentation`` has exactly the grid of the main image, and that
    the workspace has a label for each of its values.

    Returns the files of ``folder``, sorted by name.  Raises ResultRefused, or TicketError if the workspace or an image
    cannot be read.
    """
    workspace = _only_workspace(folder)
    layers = ws.layers(workspace)
    _check_files(folder, workspace, layers)
    main = read_header(folder / layers[0].file_name)
    check_names(path.name for path in folder.iterdir())
    for layer in layers:
        if layer.role == Role.SEGMENTATION and layer.file_name != segmentation:
            _check_user_segmentation(layer, read_header(folder / layer.file_name), main)
    _check_new_layer(layers, segmentation)
    _check_grid(read_header(folder / segmentation), main)
    check_values(_values(folder / segmentation), workspace)
    return tuple(result_file(path) for path in sorted(folder.iterdir()))


def check_names(names: Iterable[str]) -> None:
    """Raises ResultRefused if some operating system cannot store one of the names, or treats two of them as the same
    file.
    """
    seen: list[str] = []
    for name in sorted(names):
        fault = file_names.problem(name)
        require(not fault, f"not every system can store the file '{name}': {fault}")
        other = file_names.same_file(name, seen)
        require(not other, f"'{other}' and '{name}' are the same file on some systems")
        seen.append(name)


def _only_workspace(folder: Path) -> Folder:
    found = [path for path in folder.iterdir() if path.suffix == WORKSPACE_SUFFIX]
    require(len(found) == 1, f"it has {len(found)} workspaces instead of one")
    return read(found[0])


def _check_files(folder: Path, workspace: Folder, layers: tuple[Layer, ...]) -> None:
    """Raises ResultRefused unless the folder has the file of every layer and mesh and, beside the workspace, no other
    file, and the workspace's paths lie directly in its SaveLocation.
    """
    named = {layer.file_name for layer in layers} | set(mesh_file_names(workspace))
    for name in sorted(named):
        require(is_plain_file(folder / name), f"the file '{name}' of a layer is missing")
    present = {path.name for path in folder.iterdir() if path.suffix != WORKSPACE_SUFFIX}
    require(present == named, f"no layer names the file '{min(present - named, default='')}'")
    require(has_uniform_folder(workspace), "its layers lie outside of its SaveLocation")


def _check_new_layer(layers: tuple[Layer, ...], segmentation: str) -> None:
    roles = [layer.role for layer in layers if layer.file_name == segmentation]
    require(roles == [Role.SEGMENTATION], "the new segmentation is not a layer of the workspace")


def _check_user_segmentation(layer: Layer, image: ImageHeader, main: ImageHeader) -> None:
    """Raises ResultRefused if a segmentation of the user has another size than the main image or several values in each
    voxel, because ITK-SNAP would not load the workspace.  Other faults are accepted.
    """
    same = image.size[:3] == main.size[:3] and image.components == 1
    require(same, f"the user's segmentation {layer.key} has another size than the main image")


def _check_grid(image: ImageHeader, main: ImageHeader) -> None:
    require(image.components == 1, f"the segmentation has {image.components} values per voxel")
    require(image.pixel_type in UNSIGNED_PIXELS, "the segmentation's values are not unsigned")
    difference = grid_difference(image, main)
    require(difference == "", f"the segmentation does not lie on its image: {difference}")


def _values(segmentation: Path) -> frozenset[int]:
    try:
        return label_values(segmentation)
    except ImageDamaged:
        raise ResultRefused("the segmentation's file is cut off") from None


def check_values(values: frozenset[int], workspace: Folder) -> None:
    """Raises ResultRefused if one of the ``values`` of the segmentation has no label in ``workspace``."""
    nameless = sorted(values - set(label_table(workspace)))
    require(not nameless, f"the segmentation has values without a label: {nameless[:5]}")


def require(condition: object, finding: str) -> None:
    """Raises ResultRefused if ``condition`` is false; ``finding`` is part of its sentence."""
    if not condition:
        raise ResultRefused(finding)
