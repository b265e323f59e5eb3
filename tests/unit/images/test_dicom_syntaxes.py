# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Transfer syntaxes: what is stored comes out, whatever way it is stored."""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dss_images.dicom.errors import DicomRefused
from dss_images.dicom.files import File
from dss_images.dicom.header import DicomHeader, read_header
from dss_images.dicom.pixels import stored_values
from dss_images.dicom.reading import read
from support.dicom_series import Plane, dataset, plane, stack, write, write_frames
from support.dicom_truth import require_exact

PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"

HTJ2K = base64.b64decode(
    "/0//UQApQAAAAAAQAAAAEAAAAAAAAAAAAAAAEAAAABAAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQ"
    "kJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAH0AAf+TwAAmGfgFB3QAAMAAEsAAEwDsAQd0ANj+Awd0"
    "AMAAE0AAE4A0/QCCdABoR/sAo1QAwAAVEAAFWBhj/KpwAnUApps2bfrAQgHstgDAACsgABaQiIiIiOfAp6enwngAnj09PT09PT39jGB7"
    "9jGB7LoA/9k="
)
"""0, 13, 26, ... in 16 x 16 unsigned values, written by OpenJPH 0.26."""


def whole(one: Plane, path: Path) -> None:
    dataset(one).save_as(path, enforce_file_format=True)


def plainly(syntax: UID) -> Callable[[Plane, Path], None]:
    def save(one: Plane, path: Path) -> None:
        data = dataset(replace(one, tags={**one.tags, "_syntax": syntax}))
        if syntax == ExplicitVRBigEndian:
            data["PixelData"].VR = "OW"
            data.PixelData = one.stored.astype(">i2").tobytes()
        data.save_as(path, enforce_file_format=True)

    return save


def by_pydicom(syntax: UID) -> Callable[[Plane, Path], None]:
    def save(one: Plane, path: Path) -> None:
        data = dataset(one)
        data.compress(syntax, generate_instance_uid=False)
        data.save_as(path, enforce_file_format=True)

    return save


def by_simpleitk(name: str, syntax: UID) -> Callable[[Plane, Path], None]:
    def save(one: Plane, path: Path) -> None:
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(str(path))
        writer.UseCompressionOn()
        writer.SetCompressor(name)
        writer.Execute(sitk.GetImageFromArray(one.stored[None]))
        packed = pydicom.dcmread(path)
        assert packed.file_meta.TransferSyntaxUID == syntax
        frame = next(generate_frames(packed.PixelData, number_of_frames=1))
        encapsulated(one, frame, syntax).save_as(path, enforce_file_format=True)

    return save


def encapsulated(one: Plane, frame: bytes, syntax: UID) -> Dataset:
    data = dataset(replace(one, tags={**one.tags, "_syntax": syntax}))
    data.PixelData = encapsulate([frame])
    data["PixelData"].is_undefined_length = True
    return data


WAYS: dict[str, Callable[[Plane, Path], None]] = {
    "explicit": whole,
    "implicit": plainly(ImplicitVRLittleEndian),
    "big endian": plainly(ExplicitVRBigEndian),
    "deflated": plainly(DeflatedExplicitVRLittleEndian),
    "RLE": by_pydicom(RLELossless),
    "JPEG-LS": by_pydicom(JPEGLSLossless),
    "JPEG 2000": by_simpleitk("JPEG2000", JPEG2000Lossless),
    "JPEG lossless": by_simpleitk("JPEG", JPEGLosslessSV1),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_series_is_exact_in_every_transfer_syntax(tmp_path: Path, way: str) -> None:
    monochrome1 = {"PhotometricInterpretation": "MONOCHROME1"}
    planes = [replace(p, slope=2.5, intercept=-100.0, tags=monochrome1) for p in stack(4)]

    for one in planes:
        WAYS[way](one, tmp_path / one.name)

    require_exact(read(tmp_path).image, planes)


def test_htj2k_is_read(tmp_path: Path) -> None:
    stored = (np.arange(256) * 13).reshape(16, 16).astype(np.uint16)
    planes = [replace(p, stored=stored + 0, intercept=-float(k)) for k, p in enumerate(stack(3))]

    for one in planes:
        encapsulated(one, HTJ2K, HTJ2KLossless).save_as(
            tmp_path / one.name, enforce_file_format=True
        )

    require_exact(read(tmp_path).image, planes)


def test_the_syntaxes_of_one_series_may_differ(tmp_path: Path) -> None:
    planes = stack(8)

    for one, save in zip(planes, WAYS.values(), strict=True):
        save(one, tmp_path / one.name)

    require_exact(read(tmp_path).image, planes)


def test_compressed_frames_are_read(tmp_path: Path) -> None:
    planes = stack()
    path = write_frames(tmp_path, planes) / "frames.dcm"
    data = pydicom.dcmread(path)
    data.compress(RLELossless, generate_instance_uid=False)
    data.save_as(path)

    require_exact(read(tmp_path).image, planes)


def test_the_same_slice_compressed_and_not_is_a_copy(tmp_path: Path) -> None:
    planes = stack()
    write(tmp_path, planes)
    by_pydicom(RLELossless)(planes[3], tmp_path / "packed.dcm")

    volume = read(tmp_path)

    require_exact(volume.image, planes)
    assert any("1 slice left out: identical copies" in note.text for note in volume.notes)


@pytest.mark.parametrize(
    "name",
    [
        *("MR_small_RLE", "MR_small_bigendian", "MR_small_expb", "MR_small_implicit", "CT_small"),
        *("MR_small_jp2klossless", "MR_small_jpeg_ls_lossless", "JPEG2000", "693_J2KI"),
        *("J2K_pixelrep_mismatch", "JPEGLSNearLossless_08", "JPEGLSNearLossless_16", "image_dfl"),
        *("rtdose", "rtdose_expb", "rtdose_rle"),
    ],
)
def test_stored_values_are_those_that_pydicom_reads(name: str) -> None:
    path = PYDICOM_FILES / f"{name}.dcm"
    found = read_header(File(path=path, name=path.name, folder=""))
    assert isinstance(found, DicomHeader)

    values = np.stack([stored_values(one) for one in found.slices])

    assert np.array_equal(values, pydicom.dcmread(path).pixel_array.reshape(values.shape))


@pytest.mark.parametrize("name", ["JPGExtended", "JPEG-lossy"])
def test_stored_values_that_pydicom_cannot_unpack_are_those_of_simpleitk(name: str) -> None:
    path = PYDICOM_FILES / f"{name}.dcm"
    found = read_header(File(path=path, name=path.name, folder=""))
    assert isinstance(found, DicomHeader)

    values = stored_values(found.slices[0])

    assert np.array_equal(values, sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0])


def test_an_unknown_syntax_is_refused_by_name(tmp_path: Path) -> None:
    planes = stack()
    write(tmp_path, planes)
    mpeg = UID("1.2.840.10008.1.2.4.102")
    encapsulated(planes[4], b"film", mpeg).save_as(
        tmp_path / planes[4].name, enforce_file_format=True
    )

    with pytest.raises(DicomRefused, match=r"InstanceNumber 5 is compressed in a way .*4\.102"):
        read(tmp_path)


@pytest.mark.parametrize("way", ["RLE", "JPEG-LS", "JPEG 2000", "JPEG lossless", "deflated"])
def test_a_compressed_slice_that_is_cut_off_is_refused(tmp_path: Path, way: str) -> None:
    planes = stack(4)
    for one in planes:
        WAYS[way](one, tmp_path / one.name)
    hurt = tmp_path / planes[1].name
    packed = hurt.read_bytes()

    for cut in range(2, 40, 7):  # a deflated file may have one byte more than it needs
        hurt.write_bytes(packed[:-cut])
        with pytest.raises(DicomRefused, match=hurt.name):
            read(tmp_path)


def test_packed_pixels_that_cannot_be_unpacked_are_refused_by_name(tmp_path: Path) -> None:
    planes = stack(4)
    for one in planes:
        WAYS["JPEG 2000"](one, tmp_path / one.name)
    encapsulated(planes[2], bytes(200), JPEG2000Lossless).save_as(
        tmp_path / planes[2].name, enforce_file_format=True
    )

    with pytest.raises(DicomRefused, match="pixels of InstanceNumber 3 are damaged"):
        read(tmp_path)


@pytest.mark.slow
def test_a_deflated_file_that_grows_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = plane((0, 0, 0), size=(512, 512))
    plainly(DeflatedExplicitVRLittleEndian)(
        replace(bomb, stored=np.zeros((512, 512), np.int16)), tmp_path / "bomb.dcm"
    )
    monkeypatch.setattr("dss_images.dicom.parsing.MOST_INFLATED_BYTES", 100_000)

    with pytest.raises(DicomRefused, match=r"bomb\.dcm is damaged"):
        read(tmp_path)
