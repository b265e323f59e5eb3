# mypy: allow-untyped-calls
# (SimpleITK and nibabel ship no types)
"""Ways in which people's programs write one image: each is read exactly, or refused with one sentence.

The image has 10 x 9 x 8 voxels of 3 x 4 x 5 mm, turned about two axes.  What a variant does to it is
known here from how it is made, not from what any reader makes of it.
"""

import bz2
import gzip
import struct
import zlib
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


def _vector(numbers: Array) -> str:
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
        "space directions": " ".join(_vector(AFFINE[:3, i]) for i in range(3)),
        "space origin": _vector(AFFINE[:3, 3]),
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


def _bytes(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


RAW = VOXELS.tobytes()
FLOATS = (VOXELS / 1.1).astype(np.float64)
POSITIVE = np.arange(720).reshape(8, 9, 10) % 120
FRAMES = np.stack([VOXELS, VOXELS[::-1]])
NAN = str(refusals.not_numbers((1, 2, 3)))
NO_FORMS = str(refusals.unknown_side("its qform and its sform are not set"))
RAS = np.diag([-1.0, -1, 1, 1]) @ AFFINE
LAS = np.diag([1.0, -1, 1, 1]) @ AFFINE
MIRRORED = AFFINE @ np.diag([-1.0, 1, 1, 1])
MOVED = affine(origin=(0.0, 0.0, 0.0))
ABOUT_X = np.diag([1.0, -1.0, -1.0])
HALF_TURN = affine(DIRECTION @ ABOUT_X)


def _no_space(finding: str) -> str:
    return str(refusals.unknown_side(finding))


def _header(format_name: str, finding: str) -> str:
    return str(refusals.bad_header(format_name, finding))


FILES = (
    ("ct.nii", False),
    ("ct.nii.gz", True),
    ("ct.nrrd", False),
    ("ct.nrrd", True),
    ("ct.mha", False),
    ("ct.mha", True),
)
"""Names, and whether they are packed."""

ACCEPTED: dict[str, Variant] = {
    **{
        f"{name} of {kind}{' packed' if packed else ''}": Variant(
            make=by_itk(name, FLOATS.astype(kind), packed=packed), voxels=FLOATS.astype(kind)
        )
        for name, packed in FILES
        for kind in ("i2", "i4", "i8", "f4", "f8")
    },
    **{
        f"{name} of {kind}{' packed' if packed else ''}": Variant(
            make=by_itk(name, POSITIVE.astype(kind), packed=packed),
            voxels=POSITIVE.astype(kind),
            only_sent=True,
        )
        for name, packed in FILES
        for kind in ("i1", "u1", "u2", "u4", "u8")
    },
    "nifti upper case": Variant(make=renamed(nifti(name="ct.nii.gz"), "CT.NII.GZ")),
    "nifti packed without .gz": Variant(make=changed(nifti(), gzip.compress)),
    "nifti not packed with .gz": Variant(make=changed(nifti(name="ct.nii.gz"), gzip.decompress)),
    "nifti big-endian": Variant(make=nifti(order=">")),
    "nifti left-handed": Variant(make=nifti(lps=MIRRORED), affine=MIRRORED),
    "nifti upright": Variant(make=nifti(lps=UPRIGHT), affine=UPRIGHT),
    "nifti qform alone": Variant(make=nifti((254, "h", 0), edit=qform())),
    "nifti qform alone, mirrored": Variant(
        make=nifti((254, "h", 0), lps=MIRRORED, edit=qform(MIRRORED)), affine=MIRRORED
    ),
    "nifti qform and sform": Variant(make=nifti(edit=qform())),
    "nifti half a turn": Variant(
        make=nifti(lps=HALF_TURN, edit=qform(HALF_TURN)), affine=HALF_TURN
    ),
    "nifti negative pixdim": Variant(make=nifti((80, "f", -3.0))),
    "nifti all pixdim negative": Variant(make=nifti((80, "3f", (-3.0, -4.0, -5.0)))),
    "nifti negative pixdim, qform": Variant(
        make=nifti((254, "h", 0), (80, "f", -3.0), edit=qform())
    ),
    "nifti pixdim 0": Variant(make=nifti((80, "3f", (0.0, 0.0, 0.0)))),
    "nifti in metres": Variant(
        make=nifti(
            lps=affine(spacing=(0.003, 0.004, 0.005), origin=(-0.1205, 0.03325, -0.700125)),
            edit=units("meter"),
        )
    ),
    "nifti in micrometres": Variant(
        make=nifti(
            lps=affine(spacing=(3000, 4000, 5000), origin=(-120500, 33250, -700125)),
            edit=units("micron"),
        )
    ),
    "nifti in millimetres": Variant(make=nifti(edit=units("mm"))),
    "nifti scaled": Variant(
        make=nifti((112, "2f", (0.5, -24.0))), voxels=(VOXELS * 0.5 - 24).astype(np.float32)
    ),
    "nifti scaled downwards": Variant(
        make=nifti((112, "2f", (-1.0, 0.0))), voxels=(VOXELS * -1.0).astype(np.float32)
    ),
    "nifti slope 0": Variant(make=nifti((112, "2f", (0.0, 0.0)))),
    "nifti slope not a number": Variant(make=nifti((112, "2f", (np.nan, np.nan)))),
    "nifti slope infinite": Variant(make=nifti((112, "2f", (np.inf, 0.0)))),
    "nifti one time point": Variant(make=nifti(voxels=VOXELS[None])),
    "nifti seven dimensions of one": Variant(make=nifti((40, "8h", (7, 10, 9, 8, 1, 1, 1, 1)))),
    "nifti two time points": Variant(make=nifti(voxels=FRAMES), voxels=FRAMES),
    "nifti time runs backwards": Variant(make=nifti((92, "f", -2.0), voxels=FRAMES), voxels=FRAMES),
    "nifti time not a number": Variant(make=nifti((92, "f", np.nan), voxels=FRAMES), voxels=FRAMES),
    "nifti extension": Variant(
        make=changed(
            nifti((108, "f", 384.0)),
            lambda d: d[:348] + b"\1\0\0\0" + struct.pack("<2i", 32, 6) + bytes(24) + d[352:],
        )
    ),
    "nifti-2": Variant(make=nifti(kind=nib.Nifti2Image)),
    "nifti-2 packed": Variant(make=nifti(kind=nib.Nifti2Image, name="ct.nii.gz")),
    "nifti-2 big-endian": Variant(make=nifti(kind=nib.Nifti2Image, order=">")),
    "nifti-2 two time points": Variant(
        make=nifti(kind=nib.Nifti2Image, voxels=FRAMES), voxels=FRAMES
    ),
    "nifti pair": Variant(make=pair(nifti()), only_here=True),
    "nifti pair with an offset": Variant(make=pair(nifti(), offset=16), only_here=True),
    "nifti pair by its voxels": Variant(make=other_of(pair(nifti()), ".img"), only_here=True),
    "nrrd from nifti": Variant(make=through_itk("a.nii", "ct.nrrd")),
    "nrrd from nifti packed": Variant(make=through_itk("a.nii.gz", "ct.nrrd", packed=True)),
    "nrrd from meta": Variant(make=through_itk("a.mha", "ct.nrrd")),
    "nrrd big-endian": Variant(make=nrrd(VOXELS.astype(">i2"), endian="big")),
    "nrrd bzip2": Variant(make=nrrd(data=bz2.compress(RAW), encoding="bzip2")),
    "nrrd bz2 in two streams": Variant(
        make=nrrd(data=bz2.compress(RAW[:99]) + bz2.compress(RAW[99:]), encoding="bz2")
    ),
    "nrrd text": Variant(
        make=nrrd(data=" ".join(map(str, VOXELS.ravel())).encode(), encoding="ascii")
    ),
    "nrrd hex": Variant(make=nrrd(data=RAW.hex().encode(), encoding="hex")),
    "nrrd line skip": Variant(make=nrrd(data=b"one\ntwo\n" + RAW, line_skip="2")),
    "nrrd byte skip": Variant(make=nrrd(data=b"12345" + RAW, byte_skip="5")),
    "nrrd from its end": Variant(make=nrrd(data=b"anything" + RAW, byte_skip="-1")),
    "nrrd packed byte skip": Variant(
        make=nrrd(data=gzip.compress(b"12345" + RAW), encoding="gz", byte_skip="5")
    ),
    "nrrd RAS": Variant(make=nrrd(space="right-anterior-superior"), affine=RAS),
    "nrrd LAS": Variant(make=nrrd(space="LAS"), affine=LAS),
    "nrrd lps": Variant(make=nrrd(space="lps")),
    "nrrd in micrometres": Variant(
        make=nrrd(
            space_units='"um" "um" "um"',
            space_directions=" ".join(_vector(1000 * AFFINE[:3, i]) for i in range(3)),
            space_origin=_vector(1000 * AFFINE[:3, 3]),
        )
    ),
    "nrrd in millimetres": Variant(make=nrrd(space_units='"mm" "mm" "mm"')),
    "nrrd windows lines": Variant(
        make=changed(nrrd(data=b""), lambda d: d.replace(b"\n", b"\r\n") + RAW)
    ),
    "nrrd time points": Variant(
        make=nrrd(
            FRAMES,
            dimension="4",
            sizes="10 9 8 2",
            kinds="domain domain domain time",
            space_directions=" ".join(_vector(AFFINE[:3, i]) for i in range(3)) + " none",
        ),
        voxels=FRAMES,
    ),
    "nrrd list of one": Variant(
        make=nrrd(
            dimension="4",
            sizes="1 10 9 8",
            kinds="list domain domain domain",
            space_directions="none " + " ".join(_vector(AFFINE[:3, i]) for i in range(3)),
        )
    ),
    "nrrd detached": Variant(
        make=beside(nrrd(data=b"", name="ct.nhdr", data_file="ct.raw"), "ct.raw", RAW),
        only_here=True,
    ),
    "nrrd detached packed": Variant(
        make=beside(
            nrrd(data=b"", name="ct.nhdr", data_file="./ct.raw.gz", encoding="gzip"),
            "ct.raw.gz",
            gzip.compress(RAW),
        ),
        only_here=True,
    ),
    "meta from nifti": Variant(make=through_itk("a.nii", "ct.mha")),
    "meta from nrrd packed": Variant(make=through_itk("a.nrrd", "ct.mha", packed=True)),
    "meta with keys of others": Variant(
        make=changed(
            meta(),
            lambda d: (
                d[:19]
                + b"NRRD_kinds[0] = domain\nITK_original_spacing = 1 2 3\n0010|0010 = A^B\n"
                + d[19:]
            ),
        )
    ),
    "meta empty lines": Variant(make=changed(meta(), lambda d: d[:19] + b"\r\n\n" + d[19:])),
    "meta windows lines": Variant(
        make=changed(meta(data=b""), lambda d: d.replace(b"\n", b"\r\n") + RAW)
    ),
    "meta big-endian": Variant(make=meta(VOXELS.astype(">i2"), BinaryDataByteOrderMSB="True")),
    "meta element order": Variant(make=meta(VOXELS.astype(">i2"), ElementByteOrderMSB="True")),
    "meta packed": Variant(make=meta(data=zlib.compress(RAW), CompressedData="True")),
    "meta text": Variant(
        make=meta(data=" ".join(map(str, VOXELS.ravel())).encode(), BinaryData="False")
    ),
    "meta element size": Variant(make=meta(ElementSpacing="", ElementSize="3 4 5")),
    "meta position": Variant(make=meta(Offset="", Position=" ".join(map(repr, ORIGIN_MM)))),
    "meta long long": Variant(
        make=meta(VOXELS.astype("i8"), ElementType="MET_LONG_LONG"), voxels=VOXELS.astype("i8")
    ),
    "meta one time point": Variant(
        make=meta(
            NDims="4",
            TransformMatrix=" ".join(
                repr(float(n))
                for n in np.block([[DIRECTION.T, np.zeros((3, 1))], [0, 0, 0, 1]]).ravel()
            ),
            Offset=" ".join(map(repr, (*ORIGIN_MM, 0.0))),
            ElementSpacing="3 4 5 1",
            DimSize="10 9 8 1",
        )
    ),
    "meta detached": Variant(
        make=beside(meta(data=b"", name="ct.mhd", ElementDataFile="ct.raw"), "ct.raw", RAW),
        only_here=True,
    ),
    "meta detached packed": Variant(
        make=beside(
            meta(data=b"", name="ct.mhd", ElementDataFile="ct.zraw", CompressedData="True"),
            "ct.zraw",
            zlib.compress(RAW),
        ),
        only_here=True,
    ),
    "meta detached with a header": Variant(
        make=beside(
            meta(data=b"", name="ct.mhd", ElementDataFile="ct.raw", HeaderSize="-1"),
            "ct.raw",
            b"some header" + RAW,
        ),
        only_here=True,
    ),
}

REFUSED: dict[str, Variant] = {
    "nrrd from its end, too short": Variant(
        make=nrrd(data=RAW[:-2], byte_skip="-1"), refusal=refusals.ENDS_EARLY
    ),
    "meta of two byte orders": Variant(
        make=meta(BinaryDataByteOrderMSB="False", ElementByteOrderMSB="True"),
        refusal=_header("MetaImage", "its BinaryDataByteOrderMSB and ElementByteOrderMSB differ"),
    ),
    "meta with a negative HeaderSize": Variant(
        make=meta(data=b"", name="ct.mhd", ElementDataFile="ct.raw", HeaderSize="-7"),
        refusal=_header("MetaImage", "its HeaderSize is -7"),
    ),
    "nifti-2 quaternion": Variant(
        make=nifti(
            (348, "i", 0), (344, "i", 1), (352, "3d", (0.8, 0.8, 0.8)), kind=nib.Nifti2Image
        ),
        refusal=_header("NIfTI-2", "its quaternion is no rotation"),
    ),
    **{
        f"{name} cut to {part:.0%}": Variant(
            make=changed(by_itk(name, packed=packed), cut(part)), refusal=refusals.ENDS_EARLY
        )
        for name, packed in FILES
        for part in (0.6, 0.999)
    },
    **{
        f"{name} with {value}": Variant(make=by_itk(name, odd(value)), refusal=NAN)
        for name in ("ct.nii", "ct.nii.gz", "ct.nrrd", "ct.mha")
        for value in (np.nan, np.inf, -np.inf)
    },
    "nifti cut in its header": Variant(
        make=changed(nifti(), cut(0.1)), refusal=refusals.ENDS_EARLY
    ),
    "nifti checksum": Variant(
        make=changed(nifti(name="ct.nii.gz"), lambda d: d[:-8] + bytes(4) + d[-4:]),
        refusal=refusals.CORRUPT,
    ),
    "nifti packed and damaged": Variant(
        make=changed(nifti(name="ct.nii.gz"), lambda d: d[:80] + b"\xff" * 60 + d[140:]),
        refusal=refusals.NOT_UNPACKED,
    ),
    "nifti longer than it says": Variant(
        make=changed(nifti(), lambda d: d + bytes(1 << 20)), refusal=refusals.OVERLONG
    ),
    "nifti sheared": Variant(make=nifti(lps=SHEAR), refusal=refusals.SHEARED),
    "nifti sheared, qform upright": Variant(
        make=nifti(lps=SHEAR, edit=qform()), refusal=refusals.SHEARED
    ),
    "nifti without a form": Variant(make=nifti((252, "2h", (0, 0))), refusal=NO_FORMS),
    "nifti forms apart": Variant(make=nifti(edit=qform(MOVED)), refusal="two places"),
    "nifti forms mirrored": Variant(make=nifti(edit=qform(MIRRORED)), refusal="two places"),
    "nifti two spacings": Variant(make=nifti((80, "3f", (1.0, 1.0, 1.0))), refusal="two spacings"),
    "nifti unknown unit": Variant(
        make=nifti((123, "B", 5)), refusal=str(refusals.unknown_unit("xyzt_units 5"))
    ),
    "nifti slope 0 with an intercept": Variant(
        make=nifti((112, "2f", (0.0, -1024.0))), refusal=refusals.NO_SCALE
    ),
    "nifti slope without an intercept": Variant(
        make=nifti((112, "2f", (2.0, np.nan))), refusal=refusals.NO_SCALE
    ),
    "nifti scaled beyond all numbers": Variant(
        make=nifti((112, "2f", (3e38, 0.0))), refusal=str(refusals.not_numbers((0, 0, 0)))
    ),
    "nifti dimension 0": Variant(
        make=nifti((42, "h", 0)), refusal=str(refusals.no_size((0, 9, 8)))
    ),
    "nifti negative dimension": Variant(
        make=nifti((46, "h", -8)), refusal=str(refusals.no_size((10, 9, -8)))
    ),
    "nifti nine dimensions": Variant(
        make=nifti((40, "h", 9)), refusal=_header("NIfTI-1", "it says 9 dimensions")
    ),
    "nifti one slice": Variant(
        make=nifti(voxels=VOXELS[:1]), refusal=str(refusals.few_slices((10, 9, 1)))
    ),
    "nifti flat": Variant(make=nifti((40, "h", 2)), refusal=str(refusals.wrong_dimensions(2))),
    "nifti vectors": Variant(
        make=nifti((40, "8h", (5, 10, 9, 4, 1, 2, 1, 1))), refusal=str(refusals.several_values(2))
    ),
    "nifti colours": Variant(
        make=changed(nifti((70, "2h", (128, 24))), lambda d: d + RAW),
        refusal=str(refusals.several_values(3)),
    ),
    "nifti complex": Variant(
        make=changed(nifti((70, "2h", (32, 64))), lambda d: d + 3 * RAW), refusal=refusals.COMPLEX
    ),
    "nifti 128 bits": Variant(
        make=changed(nifti((70, "2h", (1536, 128))), lambda d: d + 7 * RAW),
        refusal=str(refusals.unknown_kind("datatype 1536")),
    ),
    "nifti offset in the header": Variant(
        make=nifti((108, "f", 0.0)),
        refusal=_header("NIfTI-1", "it does not say where its voxels begin (vox_offset)"),
    ),
    "nifti place infinite": Variant(make=nifti((280, "f", np.inf)), refusal=refusals.NO_LENGTH),
    "nifti huge": Variant(make=nifti((280, "f", 3e38), (80, "f", 3e38)), refusal=refusals.SHEARED),
    "nifti no rotation": Variant(
        make=nifti((254, "h", 0), (256, "3f", (0.9, 0.9, 0.9)), edit=qform()),
        refusal=_header("NIfTI-1", "its quaternion is no rotation"),
    ),
    "nifti place not a number": Variant(make=nifti((292, "f", np.nan)), refusal=refusals.NO_PLACE),
    "nifti enormous": Variant(
        make=nifti(lps=affine(spacing=(3000.0, 4.0, 5.0))), refusal=str(refusals.too_long(30000))
    ),
    "nifti-2 cut": Variant(
        make=changed(nifti(kind=nib.Nifti2Image), cut(0.6)), refusal=refusals.ENDS_EARLY
    ),
    "nifti-2 sheared": Variant(
        make=nifti(kind=nib.Nifti2Image, lps=SHEAR), refusal=refusals.SHEARED
    ),
    "nifti pair cut": Variant(
        make=pair(nifti(), voxels=RAW[:-9]), refusal=refusals.ENDS_EARLY, only_here=True
    ),
    "nifti pair alone": Variant(
        make=pair(nifti(), voxels=b""), refusal=refusals.ENDS_EARLY, only_here=True
    ),
    "analyze": Variant(make=pair(nifti(), b"\0\0\0\0"), refusal=refusals.ANALYZE),
    "nrrd sheared": Variant(
        make=nrrd(space_directions=" ".join(_vector(SHEAR[:3, i]) for i in range(3))),
        refusal=refusals.SHEARED,
    ),
    "nrrd checksum": Variant(
        make=nrrd(data=gzip.compress(RAW)[:-8] + bytes(8), encoding="gzip"),
        refusal=refusals.CORRUPT,
    ),
    "nrrd bzip2 cut": Variant(
        make=nrrd(data=bz2.compress(RAW)[:-9], encoding="bzip2"), refusal=refusals.ENDS_EARLY
    ),
    "nrrd bzip2 damaged": Variant(
        make=nrrd(data=flipped(0.5)(bz2.compress(RAW)), encoding="bzip2"),
        refusal=refusals.NOT_UNPACKED,
    ),
    "nrrd text cut": Variant(
        make=nrrd(data=b"1 2 3 4", encoding="text"), refusal=refusals.ENDS_EARLY
    ),
    "nrrd text of words": Variant(
        make=nrrd(data=b"one two " * 200, encoding="text"), refusal=refusals.NOT_UNPACKED
    ),
    "nrrd other packing": Variant(
        make=nrrd(encoding="zrl"), refusal=str(refusals.unknown_packing("zrl"))
    ),
    "nrrd without space": Variant(
        make=nrrd(space="", space_dimension="3"), refusal=_no_space("it names no 'space'")
    ),
    "nrrd spacings alone": Variant(
        make=nrrd(space="", space_directions="", space_origin="", spacings="3 4 5"),
        refusal=_no_space("it has no 'space directions'"),
    ),
    "nrrd of a scanner": Variant(
        make=nrrd(space="scanner-xyz"), refusal=_no_space("its 'space' is 'scanner-xyz'")
    ),
    "nrrd right-handed": Variant(
        make=nrrd(space="3D-right-handed"), refusal=_no_space("its 'space' is '3d-right-handed'")
    ),
    "nrrd zero spacing": Variant(
        make=nrrd(space_directions="(0,0,0) (0,4,0) (0,0,5)"), refusal=refusals.NO_LENGTH
    ),
    "nrrd direction not a number": Variant(
        make=nrrd(space_directions="(nan,0,0) (0,4,0) (0,0,5)"), refusal=refusals.NO_LENGTH
    ),
    "nrrd size 0": Variant(make=nrrd(sizes="10 0 8"), refusal=str(refusals.no_size((10, 0, 8)))),
    "nrrd without endian": Variant(
        make=nrrd(endian=""),
        refusal=_header("NRRD", "it does not say the order of its bytes (endian)"),
    ),
    "nrrd block": Variant(make=nrrd(type="block"), refusal=str(refusals.unknown_kind("block"))),
    "nrrd other unit": Variant(
        make=nrrd(space_units='"inch" "inch" "inch"'), refusal=str(refusals.unknown_unit("inch"))
    ),
    "nrrd vectors": Variant(
        make=nrrd(
            dimension="4",
            sizes="2 5 9 8",
            kinds="vector domain domain domain",
            space_directions="none " + " ".join(_vector(AFFINE[:3, i]) for i in range(3)),
        ),
        refusal=str(refusals.several_values(2)),
    ),
    "nrrd elsewhere": Variant(
        make=nrrd(data=b"", data_file="/etc/passwd"), refusal=refusals.ELSEWHERE
    ),
    "nrrd list": Variant(
        make=nrrd(data=b"", data_file="LIST\na.raw\nb.raw"), refusal=refusals.ELSEWHERE
    ),
    "nrrd in the folder above": Variant(
        make=nrrd(data=b"", data_file="../ct.raw"), refusal=refusals.ELSEWHERE
    ),
    "meta elsewhere": Variant(
        make=meta(data=b"", ElementDataFile="/etc/passwd"), refusal=refusals.ELSEWHERE
    ),
    "meta list": Variant(
        make=meta(data=b"a.raw\n", ElementDataFile="LIST"), refusal=refusals.ELSEWHERE
    ),
    "meta sheared": Variant(
        make=meta(TransformMatrix="1 0 0 0.6 0.8 0 0 0 1"), refusal=refusals.SHEARED
    ),
    "meta scaled axes": Variant(
        make=meta(TransformMatrix="2 0 0 0 2 0 0 0 2"),
        refusal=_header("MetaImage", "the rows of its TransformMatrix are not of length 1"),
    ),
    "meta negative spacing": Variant(
        make=meta(ElementSpacing="-3 4 5"), refusal=refusals.NO_LENGTH
    ),
    "meta without spacing": Variant(make=meta(ElementSpacing=""), refusal=refusals.NO_LENGTH),
    "meta two places": Variant(
        make=meta(Position="1 2 3"), refusal=_header("MetaImage", "its Offset and Position differ")
    ),
    "meta too few numbers": Variant(
        make=meta(Offset="1 2"),
        refusal=_header("MetaImage", "its Offset has 2 numbers instead of 3"),
    ),
    "meta other values": Variant(
        make=meta(ElementToIntensityFunctionSlope="2"), refusal="ElementToIntensityFunction"
    ),
    "meta checksum": Variant(
        make=meta(data=zlib.compress(RAW)[:-4] + bytes(4), CompressedData="True"),
        refusal=refusals.CORRUPT,
    ),
    "meta vectors": Variant(
        make=meta(2 * VOXELS, data=2 * RAW, ElementNumberOfChannels="2"),
        refusal=str(refusals.several_values(2)),
    ),
    "meta colours of tube": Variant(
        make=meta(ObjectType="Tube"), refusal=_header("MetaImage", "its ObjectType is not Image")
    ),
    "nrrd called nifti": Variant(
        make=nrrd(name="ct.nii.gz"), refusal=str(refusals.misnamed("NRRD", ".gz"))
    ),
    "nifti called nrrd": Variant(
        make=renamed(nifti(), "ct.nrrd"), refusal=str(refusals.misnamed("NIfTI-1", ".nrrd"))
    ),
    "nifti without an ending": Variant(
        make=renamed(nifti(), "ct"), refusal=str(refusals.misnamed("NIfTI-1", ""))
    ),
    "text": Variant(make=_bytes("ct.nii.gz", b"Dear colleague, "), refusal=refusals.UNKNOWN),
    "archive": Variant(
        make=_bytes("ct.nii.gz", gzip.compress(b"tar" * 500)), refusal=refusals.UNKNOWN
    ),
    "empty": Variant(make=_bytes("ct.nii", b""), refusal=refusals.EMPTY),
}
VARIANTS = ACCEPTED | REFUSED
