# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""DICOM pixels that would take too much memory or be read as other numbers, and archives in archives."""

import gzip
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless

from dss_images.dicom.errors import DicomRefused
from dss_images.dicom.reading import read, survey
from support.dicom_series import (
    Plane,
    dataset,
    stack,
    write,
)
from support.dicom_truth import require_exact


def refusal(source: Path, series: str = "") -> str:
    with pytest.raises(DicomRefused) as caught:
        read(source, series)
    return str(caught.value)


def colour(one: Plane, tags: dict[str, Any]) -> Plane:
    more = {
        "SamplesPerPixel": 3,
        "PlanarConfiguration": 0,
        "PhotometricInterpretation": "RGB",
        "PixelData": bytes(one.stored.nbytes * 3),
    }
    return replace(one, tags=tags | more)


@pytest.mark.parametrize(
    ("keyword", "bits"), [("FloatPixelData", 32), ("DoubleFloatPixelData", 64)]
)
def test_floating_point_pixels_are_not_read_as_integers(
    tmp_path: Path, keyword: str, bits: int
) -> None:
    for one in stack():
        data = dataset(one)
        for name in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
            delattr(data, name)
        data.BitsAllocated = bits
        setattr(data, keyword, one.stored.astype(f"<f{bits // 8}").tobytes())
        data.save_as(tmp_path / one.name, enforce_file_format=True)

    assert "InstanceNumber 1 keeps its pixels as floating-point numbers" in refusal(tmp_path)


def packed(one: Plane, **tags: Any) -> Dataset:
    data = dataset(replace(one, tags={"_syntax": JPEGLSLossless} | tags))
    data.PixelData = encapsulate([b"\xff\xd8.."])
    data["PixelData"].is_undefined_length = True
    return data


@pytest.mark.parametrize("is_packed", [True, False])
def test_more_frames_than_pixels_take_no_memory(tmp_path: Path, is_packed: bool) -> None:
    count = 2_000_000_000
    data = packed(stack()[0]) if is_packed else dataset(colour(stack()[0], {}))
    data.NumberOfFrames = count
    data.save_as(tmp_path / "x.dcm", enforce_file_format=True)

    told = refusal(tmp_path)

    assert f"1 piece of compressed pixels for {count} frames" in told or "bytes of pixels" in told


def test_a_matrix_that_no_memory_holds_is_refused_by_its_tags(tmp_path: Path) -> None:
    for one in stack():
        packed(one, Rows=65535, Columns=65535).save_as(
            tmp_path / one.name, enforce_file_format=True
        )

    assert "65535 x 65535 x 20 voxels, more than can be worked on at once" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("planes", "sentence"),
    [
        (stack(2), "The image has 16 x 16 x 2 voxels; a volume of several slices is needed."),
        (stack(5, 1000.0), "The image is 5000 mm long, which no patient is: check its spacing."),
    ],
    ids=["two slices", "a long patient"],
)
def test_the_size_of_a_series_is_judged_as_that_of_a_file(
    tmp_path: Path, planes: list[Plane], sentence: str
) -> None:
    write(tmp_path, planes)

    assert refusal(tmp_path) == sentence
    assert survey(tmp_path).verdicts[0].sentence == sentence


def test_a_position_in_binary_numbers_is_read(tmp_path: Path) -> None:
    planes = stack()
    for one in planes:
        data = dataset(one)
        data.add_new("ImagePositionPatient", "FD", [float(x) for x in one.position])
        data.save_as(tmp_path / one.name, enforce_file_format=True)

    require_exact(read(tmp_path).image, planes)


def test_a_description_is_read_in_its_own_character_set(tmp_path: Path) -> None:
    tags = {"SpecificCharacterSet": "ISO_IR 192", "SeriesDescription": "Schädel 頭部"}
    write(tmp_path, [replace(p, tags=tags) for p in stack()])

    assert "Schädel 頭部" in survey(tmp_path).verdicts[0].series.line


@pytest.mark.filterwarnings("error")
def test_a_description_stays_in_its_line_and_pydicom_in_its_corner(tmp_path: Path) -> None:
    tags = {"SpecificCharacterSet": "ISO_IR 192", "SeriesDescription": "a\x1b[31m\n   9  CT"}
    write(tmp_path, [replace(p, tags=tags) for p in stack()])

    assert "\n" not in survey(tmp_path).verdicts[0].series.line


def test_an_archive_in_an_archive_is_read_too(tmp_path: Path) -> None:
    planes = stack()
    folder = write(tmp_path / "series", planes)
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as inner:
        for path in folder.iterdir():
            inner.write(path, f"DICOM/{path.name}")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.write(tmp_path / "inner.zip", "studies/inner.zip")

    require_exact(read(tmp_path / "outer.zip").image, planes)


def test_archives_in_each_other_end_somewhere(tmp_path: Path) -> None:
    (tmp_path / "0.zip").write_bytes(b"")
    for depth in range(1, 6):
        with zipfile.ZipFile(tmp_path / f"{depth}.zip", "w") as outer:
            outer.write(tmp_path / f"{depth - 1}.zip", f"{depth - 1}.zip")

    assert "lies in 3 others" in refusal(tmp_path / "5.zip")


def test_a_slice_that_is_packed_by_itself_is_missed(tmp_path: Path) -> None:
    planes = stack()
    last = write(tmp_path, planes) / planes[-1].name
    last.with_name(f"{last.name}.gz").write_bytes(gzip.compress(last.read_bytes()))
    last.unlink()

    assert "CT.0020.dcm.gz" in refusal(tmp_path)


def test_a_file_that_ends_before_it_says_what_it_is_may_be_a_slice(tmp_path: Path) -> None:
    write(tmp_path, stack(19))
    stump = b"\x08\x00\x08\x00\x08\x00\x00\x00PRIMARY\\"  # ImageType alone, without a preamble
    (tmp_path / "another.name").write_bytes(stump)

    assert "another.name has no pixels" in refusal(tmp_path)
