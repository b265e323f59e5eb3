"""Finds images among a provider's results that may be of something else than the image that was sent.  They are no reason
to refuse the results, but the user has to know.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dss_dispatch.result.files import sha256
from dss_dispatch.ticket_images import (
    ImageHeader,
    grid_difference,
    has_image_suffix,
    read_header,
    same_voxels,
)
from dss_workspace.layers import Layer, Role

OTHER_IMAGE = "The main image {} has other voxels than what was sent: it was changed, or it is of another patient or ticket."
BESIDE = "The image {} has the size of the main image and does not lie on it: {}."


def odd_images(
    folder: Path, layers: Sequence[Layer], main: ImageHeader, sent: Mapping[Path, ImageHeader]
) -> Iterator[str]:
    """Warnings about the main image in ``folder``, with the header ``main``, if none of the images ``sent`` has its
    voxels, and about other images of its size in another grid.  Segmentations and layers with the name of an image that
    was sent are left out, because ``check_provider_results`` compares them.
    """
    names = {path.name for path in sent}
    path = folder / layers[0].file_name
    if names and path.name not in names and not any(_is_same(path, main, *o) for o in sent.items()):
        yield OTHER_IMAGE.format(layers[0].called)
    for layer in layers[1:]:
        if layer.file_name not in names and not layer.is_registered:
            yield from _beside(folder, layer, main)


def _beside(folder: Path, layer: Layer, main: ImageHeader) -> Iterator[str]:
    if layer.role == Role.SEGMENTATION or not has_image_suffix(layer.file_name):
        return
    header = read_header(folder / layer.file_name)
    if header.dimensions < 3 or header.size != main.size:
        return
    if difference := grid_difference(header, main):
        yield BESIDE.format(layer.called, difference)


def _is_same(path: Path, main: ImageHeader, other: Path, header: ImageHeader) -> bool:
    """True for the same voxels, and for an image with another number of time points, which is not compared."""
    if main.size != header.size or main.components != header.components:
        return main.size[:3] == header.size[:3] and main.dimensions != header.dimensions
    return sha256(path) == sha256(other) or same_voxels(path, other)
