# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Files that no lung service can work on, each made when a test asks for it."""

import gzip
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

SIZE = (10, 9, 8)
SPACING_MM = (20.0, 20.0, 20.0)


def good(pixel: int = sitk.sitkInt16) -> Any:
    """A small volume with the values of a CT."""
    voxels = np.linspace(-1000, 300, 8 * 9 * 10).reshape(8, 9, 10)
    image = sitk.Cast(sitk.GetImageFromArray(voxels), pixel)
    image.SetSpacing(SPACING_MM)
    return image


def _with(value: float) -> Any:
    image = good(sitk.sitkFloat32)
    image[1, 2, 3] = value
    return image


def _spaced(x: float, y: float, z: float) -> Any:
    image = good()
    image.SetSpacing((x, y, z))
    return image


def _nifti(
    folder: Path, *changes: tuple[int, str, object], image: sitk.Image | None = None
) -> Path:
    """A NIfTI whose header has other values at some offsets (struct formats)."""
    path = folder / "ct.nii"
    sitk.WriteImage(image or good(), path)
    data = bytearray(path.read_bytes())
    for offset, form, value in changes:
        struct.pack_into(form, data, offset, value)
    path.write_bytes(data)
    return path


def _nrrd(folder: Path, **fields: str) -> Path:
    known = {
        "type": "short",
        "dimension": "3",
        "sizes": "10 9 8",
        "space": "left-posterior-superior",
        "space directions": "(20,0,0) (0,20,0) (0,0,20)",
        "space origin": "(0,0,0)",
        "endian": "little",
        "encoding": "raw",
    } | {key.replace("_", " "): value for key, value in fields.items()}
    lines = "".join(f"{key}: {value}\n" for key, value in known.items() if value)
    voxels = sitk.GetArrayFromImage(good()).tobytes()
    return _bytes(folder, "ct.nrrd", f"NRRD0004\n{lines}\n".encode() + voxels)


def _meta(folder: Path, **fields: str) -> Path:
    known = {
        "ObjectType": "Image",
        "NDims": "3",
        "DimSize": "10 9 8",
        "ElementSpacing": "20 20 20",
        "ElementType": "MET_SHORT",
    } | fields
    known.setdefault("ElementDataFile", "LOCAL")
    known["ElementDataFile"] = known.pop("ElementDataFile")
    lines = "".join(f"{key} = {value}\n" for key, value in known.items())
    return _bytes(folder, "ct.mha", lines.encode() + sitk.GetArrayFromImage(good()).tobytes())


def _image(name: str, make: Callable[[], sitk.Image]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        sitk.WriteImage(make(), folder / name)
        return folder / name

    return write


def _bytes(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def _squeezed(folder: Path, change: Callable[[bytes], bytes]) -> Path:
    return _bytes(folder, "ct.nii.gz", change(gzip.compress(_nifti(folder).read_bytes())))


def _packed(folder: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    sitk.WriteImage(good(), folder / name, useCompression=True)
    return _bytes(folder, name, change((folder / name).read_bytes()))


def _fewer_voxels(meta: bytes) -> bytes:
    """Its checksum fits them."""
    header, found, voxels = meta.partition(b"LOCAL\n")
    packed = zlib.compress(zlib.decompress(voxels)[:1000])
    header = re.sub(rb"DataSize = \d+", b"DataSize = %d" % len(packed), header)
    return header + found + packed


def _zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "ct.nii.gz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("ct.nii", bytes(50_000_000))
    return folder / "ct.nii.gz"


def _huge_floats(folder: Path) -> Path:
    """One kilobyte that promises seven gigabytes."""
    sizes = ((42, "<h", 999), (44, "<h", 999), (46, "<h", 900))
    image = good(sitk.sitkFloat64)
    image.SetSpacing((0.5, 0.5, 0.5))
    path = _nifti(folder, *sizes, image=image)
    return _bytes(folder, "ct.nii.gz", gzip.compress(path.read_bytes()))


BAD: dict[str, Callable[[Path], Path]] = {
    "not a number": _image("ct.nii.gz", lambda: _with(np.nan)),
    "infinite": _image("ct.nii.gz", lambda: _with(np.inf)),
    "infinite in nrrd": _image("ct.nrrd", lambda: _with(-np.inf)),
    "eight bits": _image("ct.nii", lambda: sitk.Cast(sitk.Abs(good()) / 6, sitk.sitkUInt8)),
    "normalised": _image("ct.nii", lambda: good(sitk.sitkFloat32) / 1000),
    "magnetic resonance": _image("ct.nii", lambda: sitk.Abs(good())),
    "all zero": _image("ct.nii", lambda: good() * 0),
    "one slice": _image("ct.nii", lambda: good()[:, :, 3:4]),
    "two-dimensional": _image("ct.nrrd", lambda: good()[:, :, 3]),
    "tiny": _image("ct.nii", lambda: good()[:2, :2, :2]),
    "four-dimensional": _image("ct.nii", lambda: sitk.JoinSeries([good(), good()])),
    "colours": _image(
        "ct.nrrd", lambda: sitk.Compose([sitk.Cast(sitk.Abs(good()), sitk.sitkUInt8)] * 3)
    ),
    "vectors": _image("ct.nii", lambda: sitk.Compose([good(sitk.sitkFloat32)] * 3)),
    "complex": _image(
        "ct.nii", lambda: sitk.RealAndImaginaryToComplex(*[good(sitk.sitkFloat32)] * 2)
    ),
    "unsigned 64 bits": _image("ct.nrrd", lambda: sitk.Cast(sitk.Abs(good()), sitk.sitkUInt64)),
    "in metres": _image("ct.nii", lambda: _spaced(0.0007, 0.0007, 0.001)),
    "enormous spacing": _image("ct.nii", lambda: _spaced(1e6, 1, 1)),
    "zero spacing": lambda f: _nrrd(f, space_directions="(0,0,0) (0,20,0) (0,0,20)"),
    "zero spacing in meta": lambda f: _meta(f, ElementSpacing="0 20 20"),
    "spacing not a number": lambda f: _meta(f, ElementSpacing="nan 20 20"),
    "sheared": lambda f: _nrrd(f, space_directions="(20,0,0) (15,20,0) (0,0,20)"),
    "flat axes": lambda f: _nrrd(f, space_directions="(20,0,0) (20,0,0) (0,0,20)"),
    "sheared in meta": lambda f: _meta(f, TransformMatrix="1 0 0 0.7 0.7 0 0 0 1"),
    "huge sizes": lambda f: _nrrd(f, sizes="100000 100000 100000"),
    "negative size": lambda f: _nrrd(f, sizes="-10 9 8"),
    "voxels promised": lambda f: _meta(
        f, DimSize="999 999 900", ElementSpacing="0.5 0.5 0.5", ElementType="MET_DOUBLE"
    ),
    "sizes of nifti negative": lambda f: _nifti(f, (42, "<h", -10)),
    "one dimension": lambda f: _nrrd(
        f, dimension="1", sizes="720", space="", space_directions="", space_origin=""
    ),
    "no dimensions": lambda f: _nifti(f, (40, "<h", 0)),
    "unknown type": lambda f: _nifti(f, (70, "<h", 9999)),
    "gigabytes of a kilobyte": _huge_floats,
    "cut in the middle": lambda f: _squeezed(f, lambda data: data[: len(data) // 2]),
    "cut in its checksum": lambda f: _squeezed(f, lambda data: data[:-4]),
    "nrrd cut in its checksum": lambda f: _packed(f, "ct.nrrd", lambda data: data[:-9]),
    "meta damaged": lambda f: _packed(
        f, "ct.mha", lambda d: d[:-90] + bytes([d[-90] ^ 8]) + d[-89:]
    ),
    "meta of fewer voxels": lambda f: _packed(f, "ct.mha", _fewer_voxels),
    "gzip damaged": lambda f: _squeezed(f, lambda data: data[:40] + bytes(60) + data[100:]),
    "gzip in gzip": lambda f: _squeezed(f, gzip.compress),
    "gzip bomb": lambda f: _bytes(f, "ct.nii.gz", gzip.compress(bytes(200_000_000), 1)),
    "gzip bomb behind the voxels": lambda f: _bytes(
        f, "ct.nii.gz", gzip.compress(_nifti(f).read_bytes() + bytes(200_000_000), 1)
    ),
    "zip bomb": _zip,
    "empty": lambda f: _bytes(f, "ct.nii.gz", b""),
    "text": lambda f: _bytes(f, "ct.nii.gz", b"Dear radiologist, please find attached"),
    "text called nrrd": lambda f: _bytes(f, "ct.nrrd", b"NRRD0004\n"),
    "header only": lambda f: _bytes(f, "ct.nii", _nifti(f).read_bytes()[:352]),
    "picture": _image("ct.png", lambda: sitk.Cast(sitk.Abs(good()[:, :, 3]) / 6, sitk.sitkUInt8)),
    "picture called nifti": lambda f: _image(
        "ct.png", lambda: sitk.Cast(sitk.Abs(good()[:, :, 3]) / 6, sitk.sitkUInt8)
    )(f).rename(f / "ct.nii.gz"),
    "dicom slice": _image("ct.dcm", lambda: good()[:, :, 3:4]),
    "detached nrrd": lambda f: _nrrd(f, data_file="other.raw"),
    "detached meta": lambda f: _meta(f, ElementDataFile="other.raw"),
    "wrong extension": lambda f: _nifti(f).rename(f / "ct.xyz"),
}
