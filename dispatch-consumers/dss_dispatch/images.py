# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""What an image file says about itself, and which values a segmentation holds."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.metaimage import HEADER_BYTES, is_sound
from dss_dispatch.errors import TicketError
from dss_dispatch.whole import require_whole

# Formats that keep everything in one file.  A header that names another file could name any file of
# the datastore, and with it another patient's image.
_READERS = {
    ".nii.gz": "NiftiImageIO",
    ".nii": "NiftiImageIO",
    ".nrrd": "NrrdImageIO",
    ".mha": "MetaImageIO",
}
_MOST_INFLATED = 1032
"""Deflate, the only compression of these formats, makes nothing smaller than this part of it."""

_NRRD_DATA_FILE = re.compile(rb"^data ?file *:", re.IGNORECASE | re.MULTILINE)
_META_DATA_FILE = re.compile(rb"^ElementDataFile *= *(\S*)", re.IGNORECASE | re.MULTILINE)

UNSIGNED_PIXELS = frozenset({sitk.sitkUInt8, sitk.sitkUInt16})
"""Pixel types of a segmentation: ITK-SNAP's labels are unsigned integers up to 65535."""

INTEGER_PIXELS = UNSIGNED_PIXELS | {
    sitk.sitkInt8,
    sitk.sitkInt16,
    sitk.sitkInt32,
    sitk.sitkUInt32,
    sitk.sitkInt64,
    sitk.sitkUInt64,
}
"""Those that others write segmentations with; what counts then are the values."""

DIRECTION_TOLERANCE = 1e-4
"""As in ITK-SNAP (ImageIODelegates.cxx:197-250); size, spacing and origin have none."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image's header.  Index order (x, y, z, ...), millimetres, LPS, as ITK says it.

    Of a fourth axis, time, only the ``size`` is told.
    """

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]
    components: int
    pixel_type: int

    @property
    def dimensions(self) -> int:
        return len(self.size)

    def index_of(self, point_mm: Sequence[float]) -> npt.NDArray[np.float64]:
        """Of a point of a three-dimensional image, in LPS; (x, y, z), whole in the middle of a voxel."""
        axes = np.array(self.direction).reshape(3, 3) * self.spacing_mm
        return np.asarray(np.linalg.solve(axes, np.subtract(point_mm, self.origin_mm)), np.float64)


def read_header(path: Path) -> Image:
    """Without the voxels.  Raises TicketError if the file is no image in one of our formats."""
    reader = _begun(path)
    n = reader.GetDimension()
    axes = np.array(reader.GetDirection()).reshape(n, n)[:3, :3]
    return Image(
        size=tuple(reader.GetSize()),
        spacing_mm=tuple(reader.GetSpacing())[:3],
        origin_mm=tuple(reader.GetOrigin())[:3],
        direction=tuple(float(cosine) for cosine in axes.ravel()),
        components=reader.GetNumberOfComponents(),
        pixel_type=reader.GetPixelID(),
    )


def check_whole(path: Path) -> None:
    """Raises TicketError if the file is no image, or if voxels are missing in it."""
    require_whole(path, _voxels_bytes(_begun(path)))


def _begun(path: Path) -> sitk.ImageFileReader:
    """The header has been read."""
    reader = _reader(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise TicketError(_why_unreadable(path.name, str(error))) from error
    _require_room(path, reader)
    return reader


def _require_room(path: Path, header: sitk.ImageFileReader) -> None:
    """That the file can hold what it promises, before anybody makes room for it in memory."""
    inflated = 1 if path.name.lower().endswith(".nii") else _MOST_INFLATED
    if _voxels_bytes(header) > path.stat().st_size * inflated:
        shown = " x ".join(str(n) for n in header.GetSize())
        raise TicketError(
            f"The file '{path.name}' says that it has {shown} voxels, but is too small for them; "
            "send it whole."
        )


def _voxels_bytes(header: sitk.ImageFileReader) -> int:
    voxel_bytes = sitk.Image(1, 1, header.GetPixelID()).GetSizeOfPixelComponent()
    return int(math.prod(header.GetSize()) * header.GetNumberOfComponents() * voxel_bytes)


def _reader(path: Path) -> sitk.ImageFileReader:
    suffix = next((s for s in _READERS if path.name.lower().endswith(s)), None)
    if suffix is None:
        raise TicketError(
            f"The file '{path.name}' is not an image in one file of NIfTI, NRRD or MetaImage."
        )
    if _names_another_file(path, suffix):
        raise TicketError(f"The file '{path.name}' keeps its voxels in another file.")
    if suffix == ".mha" and not is_sound(_start(path)):
        raise TicketError(f"The header of the MetaImage '{path.name}' is damaged; save it anew.")
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_READERS[suffix])
    reader.SetFileName(str(path))
    return reader


def _names_another_file(path: Path, suffix: str) -> bool:
    if suffix not in {".nrrd", ".mha"}:
        return False
    header = _start(path)
    if suffix == ".nrrd":
        fields, end, _ = header.partition(b"\n\n")
        return end == b"" or _NRRD_DATA_FILE.search(fields) is not None
    data_file = _META_DATA_FILE.search(header)
    return data_file is None or data_file[1].upper() != b"LOCAL"


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER_BYTES).replace(b"\r", b"")


def _why_unreadable(name: str, error: str) -> str:
    if "orthonormal" in error:
        return f"The image '{name}' has axes that are not at right angles; save it resampled."
    return f"The file '{name}' is not an image that can be read."


def grid_difference(found: Image, needed: Image) -> str:
    """What is different about the two grids, as part of a sentence; "" if nothing is."""
    for name, a, b in (
        ("size", found.size, needed.size),
        ("spacing", found.spacing_mm, needed.spacing_mm),
        ("origin", found.origin_mm, needed.origin_mm),
    ):
        if a != b:
            return f"{name} {_listed(a)} instead of {_listed(b)}"
    if not np.allclose(found.direction, needed.direction, rtol=0, atol=DIRECTION_TOLERANCE):
        return f"direction {_listed(found.direction)} instead of {_listed(needed.direction)}"
    return ""


def _listed(numbers: tuple[float, ...]) -> str:
    return "(" + ", ".join(repr(n) for n in numbers) + ")"


def is_known(name: str) -> bool:
    """Can files of such a name be read here?"""
    return name.lower().endswith(tuple(_READERS))


def label_range(path: Path) -> tuple[int, int]:
    """The lowest and the highest value of a segmentation of integers, as they are.  Raises TicketError."""
    image = _voxels(path)  # the view does not keep it
    voxels = sitk.GetArrayViewFromImage(image)
    return int(voxels.min()), int(voxels.max())


def same_voxels(path: Path, other: Path) -> bool:
    """Of two images with equal headers.  Raises TicketError."""
    a, b = _voxels(path), _voxels(other)
    return bool(np.array_equal(sitk.GetArrayViewFromImage(a), sitk.GetArrayViewFromImage(b)))


def _voxels(path: Path) -> sitk.Image:
    reader = _reader(path)
    try:
        image: sitk.Image = reader.Execute()
    except RuntimeError as error:
        raise TicketError(_why_unreadable(path.name, str(error))) from error
    return image


def _labels(path: Path) -> sitk.Image:
    """Of a segmentation, as unsigned 16-bit.  Raises TicketError."""
    check_whole(path)
    reader = _reader(path)
    reader.SetOutputPixelType(sitk.sitkUInt16)
    try:
        image: sitk.Image = reader.Execute()
    except RuntimeError as error:
        raise TicketError(_why_unreadable(path.name, str(error))) from error
    return image


def label_values(path: Path) -> frozenset[int]:
    """The values of a segmentation, read as unsigned 16-bit, without 0.  Raises TicketError."""
    image = _labels(path)
    voxels = sitk.GetArrayViewFromImage(image)
    seen = np.zeros(65536, dtype=bool)
    for part in voxels:  # slice by slice: an index array of the whole would be eight times as big
        seen[part] = True
    return frozenset(int(value) for value in np.flatnonzero(seen) if value)


def label_volumes(path: Path) -> dict[int, float]:
    """Millilitres by value of a segmentation, without 0.  Raises TicketError."""
    image = _labels(path)
    counts = np.zeros(65536, dtype=np.int64)
    for part in sitk.GetArrayViewFromImage(image):
        counts += np.bincount(part.ravel(), minlength=65536)
    voxel_ml = float(np.prod(image.GetSpacing()[:3])) / 1000
    return {int(v): float(counts[v]) * voxel_ml for v in np.flatnonzero(counts) if v}


def renumber(source: Path, target: Path, places: dict[int, int]) -> None:
    """Write ``source`` with its values changed to those of ``places``, in the very same grid."""
    reader = _reader(source)
    wide = max(places.values(), default=0) > 255
    reader.SetOutputPixelType(sitk.sitkUInt16 if wide else sitk.sitkUInt8)
    changed = sitk.ChangeLabel(reader.Execute(), {a: b for a, b in places.items() if a != b})
    sitk.WriteImage(changed, str(target), True)
