# mypy: allow-untyped-calls
# (SimpleITK ships no types; it is imported where it is used, because it takes a second to load)
"""From the user's file or DICOM folder to the layer that ITK-SNAP would upload."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dss_client.errors import ImageUnreadable

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """``size`` in voxels (x, y, z, ...).  ``note`` is a sentence on what was chosen, or ""."""

    path: Path
    size: tuple[int, ...]
    note: str


@dataclass(frozen=True, kw_only=True)
class _Series:
    folder: Path
    slices: tuple[str, ...]


def write_layer(source: Path, folder: Path) -> Layer:
    """Write ``source`` to ``folder`` as ``layer_000_<md5>.nii.gz``.

    ``source`` is judged as it lies there, before anything is written anew, and what was written is read
    back.  Pixel type and grid stay (NIfTI keeps the grid in single precision); descriptive texts, which may
    name the patient, do not.  Raises ImageUnreadable.
    """
    import SimpleITK as sitk  # noqa: PLC0415, N813

    image, note = _read_folder(source) if source.is_dir() else _read_file(source)
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    path = folder / f"layer_000_{_md5(image)}.nii.gz"
    sitk.WriteImage(image, str(path), True)
    _require_same(path, image)
    return Layer(path=path, size=tuple(image.GetSize()), note=note)


def _read_file(path: Path) -> tuple["sitk.Image", str]:
    import SimpleITK as sitk  # noqa: PLC0415, N813

    from dss_images.errors import ImageRefused  # noqa: PLC0415
    from dss_images.judging import require_volume  # noqa: PLC0415
    from dss_images.reading import array_of, read_header  # noqa: PLC0415

    if not path.is_file():
        raise ImageUnreadable(f"There is no file {path.name}.")
    if sitk.ImageFileReader.GetImageIOFromFileName(str(path)) == "GDCMImageIO":
        raise ImageUnreadable(f"{path.name} is one DICOM slice; give the folder of its series.")
    try:
        header = read_header(path, pairs=True)
        require_volume(header)
        voxels = array_of(header)
    except ImageRefused as error:
        raise ImageUnreadable(str(error)) from error
    image = sitk.GetImageFromArray(voxels, isVector=False)
    image.SetSpacing(header.grid.spacing_mm)
    image.SetOrigin(header.grid.origin_mm)
    image.SetDirection(header.grid.direction)
    return image, " ".join(header.notes)


def _require_same(path: Path, image: "sitk.Image") -> None:
    """ITK writes what it can on a full disk, and says nothing.  Raises ImageUnreadable."""
    import numpy as np  # noqa: PLC0415
    import SimpleITK as sitk  # noqa: PLC0415, N813

    from dss_images.errors import ImageRefused  # noqa: PLC0415
    from dss_images.grid import file_grid_of, nearly_same  # noqa: PLC0415
    from dss_images.reading import read_header, slices_in  # noqa: PLC0415

    try:
        header = read_header(path)
        size = header.grid.size
        written = sitk.GetArrayViewFromImage(image).reshape(-1, size[1], size[0])
        pairs = zip(slices_in(header), written, strict=True)
        same = (
            sum(not np.array_equal(*pair) for pair in pairs) == 0
        )  # to the end: what follows counts
    except (ImageRefused, ValueError):
        same = False
    if not same or not nearly_same(header.grid, file_grid_of(image)):
        raise ImageUnreadable(
            "The image could not be kept as a NIfTI file as it is; is there room for temporary files?"
        )


def _read_folder(folder: Path) -> tuple["sitk.Image", str]:
    import SimpleITK as sitk  # noqa: PLC0415, N813

    found = sorted(_series_below(folder), key=lambda series: -len(series.slices))
    if not found:
        raise ImageUnreadable(f"There is no DICOM series in the folder {folder.name}.")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(found[0].slices)
    try:
        return reader.Execute(), _choice(found)
    except RuntimeError as error:
        raise ImageUnreadable(f"The DICOM series in {folder.name} cannot be read.") from error


def _series_below(folder: Path) -> Iterator[_Series]:
    """All series of ``folder`` and the folders in it; one that is spread over folders counts twice."""
    import SimpleITK as sitk  # noqa: PLC0415, N813

    warnings = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # one line for each file that is not DICOM
    try:
        for place in [folder, *(p for p in sorted(folder.rglob("*")) if p.is_dir())]:
            for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(place)):
                slices = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(place), uid)
                yield _Series(folder=place, slices=tuple(slices))
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(warnings)


def _choice(found: list[_Series]) -> str:
    taken = found[0]
    if len(found) == 1:
        return f"DICOM series of {len(taken.slices)} slices."
    return (
        f"{len(found)} DICOM series; taken is that with the most slices, {len(taken.slices)}, "
        f"in the folder {taken.folder.name}."
    )


def _md5(image: "sitk.Image") -> str:
    """Of the voxels, which makes the file's name the same for the same image."""
    import SimpleITK as sitk  # noqa: PLC0415, N813

    digest = sitk.HashImageFilter()
    digest.SetHashFunction(sitk.HashImageFilter.MD5)
    return str(digest.Execute(image))
