# mypy: allow-untyped-calls
# (SimpleITK and nibabel ship no types)
"""Ways in which people's programs write one image: each is read exactly, or refused with one sentence.

The image has 10 x 9 x 8 voxels of 3 x 4 x 5 mm, turned about two axes.  What a variant does to it is
known here from how it is made, not from what any reader makes of it.
"""

import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_images import refusals

Array = npt.NDArray[Any]

SIZE = (10, 9, 8)
SPACING_MM = (3.0, 4.0, 5.0)
ORIGIN_MM = (-120.5, 33.25, -700.125)
VOXELS: Array = np.linspace(-1000, 400, 720).round().astype(np.int16).reshape(8, 9, 10)
"""(z, y, x)"""


def _turned() -> Array:
    a, b = np.radians(20), np.radians(-8)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return np.asarray(about_z @ about_x)


DIRECTION: Array = _turned()
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def affine(
    direction: Array = DIRECTION,
    spacing: tuple[float, ...] = SPACING_MM,
    origin: tuple[float, ...] = ORIGIN_MM,
) -> Array:
    """From an index (x, y, z) to LPS."""
    found = np.eye(4)
    found[:3, :3] = direction * spacing
    found[:3, 3] = origin
    return found


AFFINE: Array = affine()
UPRIGHT: Array = affine(np.eye(3))
SHEAR: Array = affine(DIRECTION @ np.array([[1, 0.2, 0], [0, 1, 0], [0, 0, 1]]))


@dataclass(frozen=True, kw_only=True)
class Variant:
    """``make`` writes it into a folder.  With a ``refusal`` it is to be refused with that sentence.

    ``only_here``: the voxels lie in a second file, which only the machine of the user may have.
    ``only_sent``: it is no CT, so that a worker for CTs says so.
    """

    make: Callable[[Path], Path]
    refusal: str = ""
    voxels: Array | None = None
    affine: Array | None = None
    only_here: bool = False
    only_sent: bool = False


def itk_image(voxels: Array = VOXELS) -> Any:
    image = sitk.GetImageFromArray(voxels, isVector=False)
    if image.GetDimension() == 3:
        image.SetSpacing(SPACING_MM)
        image.SetOrigin(ORIGIN_MM)
        image.SetDirection(DIRECTION.ravel().tolist())
    return image


def by_itk(name: str, voxels: Array = VOXELS, *, packed: bool = False) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        sitk.WriteImage(itk_image(voxels), folder / name, useCompression=packed)
        return folder / name

    return make


def through_itk(first: str, second: str, *, packed: bool = False) -> Callable[[Path], Path]:
    """Saved by ITK from another file of its own, with all the keys of that."""

    def make(folder: Path) -> Path:
        by_itk(first)(folder)
        sitk.WriteImage(sitk.ReadImage(folder / first), folder / second, useCompression=packed)
        return folder / second

    return make


def changed(
    make: Callable[[Path], Path], change: Callable[[bytes], bytes]
) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        path = make(folder)
        path.write_bytes(change(path.read_bytes()))
        return path

    return made


def cut(part: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(len(data) * part)]


def flipped(part: float) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        at = int(len(data) * part)
        return data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]

    return change


def nifti(
    *changes: tuple[int, str, Any],
    lps: Array = AFFINE,
    voxels: Array = VOXELS,
    name: str = "ct.nii",
    order: str = "<",
    kind: type[Any] = nib.Nifti1Image,
    edit: Callable[[Any], object] = lambda _: None,
) -> Callable[[Path], Path]:
    """By nibabel, which sets the sform alone; then ``changes`` of the header's bytes."""

    def make(folder: Path) -> Path:
        header = kind.header_class(endianness=order)
        header.set_data_dtype(voxels.dtype)
        image = kind(voxels.T, LPS_TO_RAS @ lps, header)
        edit(image.header)
        path = folder / name
        image.to_filename(path)
        data = path.read_bytes()
        is_packed = name.endswith(".gz")
        plain = bytearray(gzip.decompress(data) if is_packed else data)
        for offset, form, value in changes:
            values = value if isinstance(value, tuple) else (value,)
            struct.pack_into(order + form, plain, offset, *values)
        path.write_bytes(gzip.compress(bytes(plain)) if is_packed else bytes(plain))
        return path

    return make


def qform(lps: Array = AFFINE, code: int = 1) -> Callable[[Any], object]:
    return lambda header: header.set_qform(LPS_TO_RAS @ lps, code)


def units(name: str) -> Callable[[Any], object]:
    return lambda header: header.set_xyzt_units(name)


def vector(numbers: Array) -> str:
    return "(" + ",".join(repr(float(n)) for n in numbers) + ")"


def nrrd(
    voxels: Array = VOXELS, data: bytes | None = None, name: str = "ct.nrrd", **fields: str
) -> Callable[[Path], Path]:
    """Fields of "" are left out."""
    known = {
        "type": "short",
        "dimension": "3",
        "sizes": "10 9 8",
        "space": "left-posterior-superior",
        "space directions": " ".join(vector(AFFINE[:3, i]) for i in range(3)),
        "space origin": vector(AFFINE[:3, 3]),
        "endian": "little",
        "encoding": "raw",
    } | {key.replace("_", " "): value for key, value in fields.items()}

    def make(folder: Path) -> Path:
        lines = "".join(f"{key}: {value}\n" for key, value in known.items() if value)
        body = voxels.tobytes() if data is None else data
        (folder / name).write_bytes(f"NRRD0005\n# of a test\n{lines}\n".encode() + body)
        return folder / name

    return make


def meta(
    voxels: Array = VOXELS, data: bytes | None = None, name: str = "ct.mha", **fields: str
) -> Callable[[Path], Path]:
    """Fields of "" are left out."""
    known = {
        "ObjectType": "Image",
        "NDims": "3",
        "TransformMatrix": " ".join(repr(float(n)) for n in DIRECTION.T.ravel()),
        "Offset": " ".join(map(repr, ORIGIN_MM)),
        "ElementSpacing": " ".join(map(repr, SPACING_MM)),
        "DimSize": "10 9 8",
        "ElementType": "MET_SHORT",
    } | fields
    known["ElementDataFile"] = fields.get("ElementDataFile", "LOCAL")

    def make(folder: Path) -> Path:
        known["ElementDataFile"] = known.pop("ElementDataFile")
        lines = "".join(f"{key} = {value}\n" for key, value in known.items() if value)
        body = voxels.tobytes() if data is None else data
        (folder / name).write_bytes(lines.encode() + body)
        return folder / name

    return make


def beside(make: Callable[[Path], Path], other: str, data: bytes) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        if "/" not in other:
            (folder / other).write_bytes(data)
        return make(folder)

    return made


def renamed(make: Callable[[Path], Path], name: str) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        path = make(folder)
        return path.rename(folder / name)

    return made


def pair(
    make: Callable[[Path], Path],
    magic: bytes = b"ni1\0",
    voxels: bytes | None = None,
    offset: int = 0,
) -> Callable[[Path], Path]:
    """``offset`` is where the voxels begin in the second file."""

    def made(folder: Path) -> Path:
        data = make(folder).read_bytes()
        header = bytearray(data[:348])
        header[344:348] = magic
        struct.pack_into("<f", header, 108, offset)
        (folder / "ct.hdr").write_bytes(bytes(header))
        body = data[352:] if voxels is None else voxels
        (folder / "ct.img").write_bytes(b"\1" * offset + body)
        return folder / "ct.hdr"

    return made


def other_of(make: Callable[[Path], Path], suffix: str) -> Callable[[Path], Path]:
    return lambda folder: make(folder).with_suffix(suffix)


def odd(value: float) -> Array:
    voxels = VOXELS.astype(np.float32)
    voxels[3, 2, 1] = value
    return voxels


def as_bytes(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


RAW = VOXELS.tobytes()
FLOATS = (VOXELS / 1.1).astype(np.float64)
POSITIVE = np.arange(720).reshape(8, 9, 10) % 120
FRAMES = np.stack([VOXELS, VOXELS[::-1]])
NAN = str(refusals.not_finite((1, 2, 3)))
NO_FORMS = str(refusals.unknown_orientation("its qform and its sform are not set"))
RAS = np.diag([-1.0, -1, 1, 1]) @ AFFINE
LAS = np.diag([1.0, -1, 1, 1]) @ AFFINE
MIRRORED = AFFINE @ np.diag([-1.0, 1, 1, 1])
MOVED = affine(origin=(0.0, 0.0, 0.0))
ABOUT_X = np.diag([1.0, -1.0, -1.0])
HALF_TURN = affine(DIRECTION @ ABOUT_X)


FILES = (
    ("ct.nii", False),
    ("ct.nii.gz", True),
    ("ct.nrrd", False),
    ("ct.nrrd", True),
    ("ct.mha", False),
    ("ct.mha", True),
)
"""Names, and whether they are packed."""
