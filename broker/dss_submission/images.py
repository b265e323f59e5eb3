# mypy: allow-untyped-calls
# (SimpleITK ships no types; it is imported where it is used, because it takes a second to load)
"""Converts the user's file or DICOM folder to the layer that ITK-SNAP would upload."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dss_images.dicom.notes import Note
from dss_submission.errors import ImageUnreadable
from dss_submission.layer import Layer

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

Progress = Callable[[float], None]
"""Called with the fraction that is done, 0 to 1."""


Stage = Callable[[str], None]
"""Called when a stage begins, with its name, which is shown to the user."""


def _say_nothing(_: str) -> None:
    pass


def write_layer(
    source: Path,
    folder: Path,
    series: str = "",
    progress: Progress | None = None,
    stage: Stage = _say_nothing,
) -> Layer:
    """Convert ``source`` to ``layer_000_<md5>.nii.gz`` in ``folder``.  The MD5 is that of the whole file: that of the
    voxels alone, as ITK-SNAP takes it, would give images in other grids the same name.

    Raises ImageUnreadable.  ``series`` selects a series of a DICOM folder (``dss_images.dicom.series_choice.choose``).
    ``progress`` is called while a DICOM folder is read, ``stage`` before each later stage, which may take seconds.
    ``source`` is checked before it is converted, and the written file is read back and compared.  Pixel type and grid
    are kept (NIfTI keeps the grid in single precision); descriptive texts, which may name the patient, are removed.
    """
    import SimpleITK as sitk  # noqa: PLC0415, N813  (needs the extra ``images``)

    image, notes = _read(source, series, progress)
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    unnamed = folder / "unnamed.nii.gz"
    stage("Compressing the image")
    sitk.WriteImage(image, str(unnamed), True)
    stage("Checking what is to be sent")
    _require_same(unnamed, image)
    path = unnamed.replace(folder / f"layer_000_{_md5(unnamed)}.nii.gz")
    return Layer(path=path, size=tuple(image.GetSize()), notes=notes)


def _read(
    source: Path, series: str, progress: Progress | None
) -> "tuple[sitk.Image, tuple[Note, ...]]":
    from dss_images.dicom.reading import is_dicom  # noqa: PLC0415  (needs the extra ``images``)

    if is_dicom(source):
        return _read_dicom(source, series, progress)
    if series:
        raise ImageUnreadable(f"{source.name} is no DICOM folder, so there is no series {series}.")
    image, note = _read_file(source)
    return image, (Note(text=note),) if note else ()


def _read_file(path: Path) -> tuple["sitk.Image", str]:
    import SimpleITK as sitk  # noqa: PLC0415, N813  (needs the extra ``images``)

    from dss_images.errors import ImageRefused  # noqa: PLC0415  (needs the extra ``images``)
    from dss_images.reading import array_of, read_header  # noqa: PLC0415  (needs the extra ``images``)
    from dss_images.requirements import require_volume  # noqa: PLC0415  (needs the extra ``images``)

    if not path.exists():
        raise ImageUnreadable(f"There is no file {path.name}.")
    if not path.is_file():
        raise ImageUnreadable(f"{path.name} is neither a file nor a folder; name an image's file.")
    try:
        header = read_header(_header_of(path), pairs=True)
        require_volume(header)
        voxels = array_of(header)
    except ImageRefused as error:
        raise ImageUnreadable(str(error)) from error
    image = sitk.GetImageFromArray(voxels, isVector=False)
    image.SetSpacing(header.grid.spacing_mm)
    image.SetOrigin(header.grid.origin_mm)
    image.SetDirection(header.grid.direction)
    return image, " ".join(header.notes)


def _header_of(path: Path) -> Path:
    """The header file (.hdr) beside ``path``, if ``path`` is the voxel file (.img) of a pair; otherwise ``path``."""
    header = path.with_suffix(".hdr")
    return header if path.suffix.lower() == ".img" and header.is_file() else path


def _require_same(path: Path, image: "sitk.Image") -> None:
    """Raises ImageUnreadable unless the file ``path`` has the voxels and grid of ``image``.

    This finds a full disk: ITK then writes only a part of the file, without an error.
    """
    if not _is_same(path, image):
        raise ImageUnreadable(
            "The image could not be kept as a NIfTI file as it is; is there room for temporary files?"
        )


def _is_same(path: Path, image: "sitk.Image") -> bool:
    import numpy as np  # noqa: PLC0415  (needs the extra ``images``)
    import SimpleITK as sitk  # noqa: PLC0415, N813  (needs the extra ``images``)

    from dss_images.errors import ImageRefused  # noqa: PLC0415  (needs the extra ``images``)
    from dss_images.grid import file_grid_of, nearly_same  # noqa: PLC0415  (needs the extra ``images``)
    from dss_images.reading import read_header, slices_in  # noqa: PLC0415  (needs the extra ``images``)

    try:
        header = read_header(path)
        size = header.grid.size
        written = sitk.GetArrayViewFromImage(image).reshape(-1, size[1], size[0])
        pairs = zip(slices_in(header), written, strict=True)
        same = (
            sum(not np.array_equal(*pair) for pair in pairs) == 0
        )  # to the end: what follows counts
    except (ImageRefused, ValueError):
        return False
    return same and nearly_same(header.grid, file_grid_of(image))


def _read_dicom(
    source: Path, series: str, progress: Progress | None
) -> "tuple[sitk.Image, tuple[Note, ...]]":
    from dss_images.dicom.reading import read  # noqa: PLC0415  (needs the extra ``images``)
    from dss_images.errors import ImageRefused  # noqa: PLC0415  (needs the extra ``images``)

    try:
        volume = read(source, series, progress or (lambda _: None))
    except ImageRefused as error:
        raise ImageUnreadable(str(error)) from error
    return volume.image, volume.notes


def _md5(path: Path) -> str:
    """MD5 of the file, for its name, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
