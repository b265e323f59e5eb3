# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""DICOM files with frames, damage, other tags and values: each is read as its tags say, or refused by name."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from pydicom.dataset import Dataset

from dss_images.dicom.reading import read
from support.dicom_reading import PT, notes, refusal
from support.dicom_series import (
    Plane,
    dataset,
    plane,
    stack,
    write,
    write_enhanced,
    write_frames,
)
from support.dicom_truth import require_exact


@pytest.mark.parametrize("tag", ["SpacingBetweenSlices", "SliceThickness"])
def test_frames_with_one_position_follow_each_other_along_the_normal(
    tmp_path: Path, tag: str
) -> None:
    planes = stack()

    volume = read(write_frames(tmp_path, planes, **{tag: 3}))

    require_exact(volume.image, planes)
    assert f"one position for 20 frames; the others follow from its {tag}" in notes(volume)


def test_frames_may_have_an_offset_each(tmp_path: Path) -> None:
    planes = stack()
    offsets = [3.0 * k for k in range(20)]

    volume = read(
        write_frames(tmp_path, planes, GridFrameOffsetVector=offsets, SliceThickness=None)
    )

    require_exact(volume.image, planes)


@pytest.mark.parametrize("tags", [{"SliceThickness": None}, {"FrameIncrementPointer": 0x00181063}])
def test_frames_that_no_tag_puts_anywhere_are_refused(
    tmp_path: Path, tags: dict[str, int | None]
) -> None:
    write_frames(tmp_path, stack(), **tags)

    assert "frames.dcm has one position for 20 frames" in refusal(tmp_path)


def test_a_file_of_several_frames_is_read_by_itself(tmp_path: Path) -> None:
    planes = stack()
    folder = write_frames(tmp_path, planes)

    require_exact(read(folder / "frames.dcm").image, planes)


def test_enhanced_frames_are_read_in_any_order_with_their_own_slopes(tmp_path: Path) -> None:
    planes = [replace(p, slope=1.0 + k % 3, intercept=-10.0 * k) for k, p in enumerate(stack())]
    mixed = random.Random(1).sample(planes, 20)

    require_exact(read(write_enhanced(tmp_path, mixed)).image, planes)


@pytest.mark.slow
def test_an_enhanced_file_of_highdicom_is_read_exactly(tmp_path: Path) -> None:
    from highdicom.legacy import LegacyConvertedEnhancedCTImage  # noqa: PLC0415  (takes a second)

    planes = [replace(p, intercept=-1024.0) for p in stack()]
    mixed = random.Random(2).sample(planes, 20)
    enhanced = LegacyConvertedEnhancedCTImage(
        [legacy(p) for p in mixed],
        series_instance_uid="1.2.3.4",
        series_number=1,
        sop_instance_uid="1.2.3.4.5",
        instance_number=1,
    )
    enhanced.save_as(tmp_path / "enhanced.dcm")

    require_exact(read(tmp_path).image, planes)


def legacy(one: Plane) -> Dataset:
    """With what highdicom asks of a slice."""
    data = dataset(one)
    for keyword in (
        *("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "Manufacturer"),
        *("ReferringPhysicianName", "BodyPartExamined", "Laterality", "ContentDate", "ContentTime"),
    ):
        setattr(data, keyword, "")
    data.PatientID = data.StudyID = data.StudyDate = "20260101"
    data.StudyTime = "120000"
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = "1.2.9", ""
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.AcquisitionNumber, data.SeriesDate, data.SeriesTime = 1, "", ""
    return data


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.4, 0.5, 0.6, 0.8, 0.95, 0.999])
@pytest.mark.parametrize("which", [0, 9, 19])
def test_a_slice_that_is_cut_off_is_refused_by_name(
    tmp_path: Path, which: int, share: float
) -> None:
    planes = stack()
    hurt = write(tmp_path, planes) / planes[which].name
    whole = hurt.read_bytes()

    hurt.write_bytes(whole[: int(len(whole) * share)])

    assert hurt.name in refusal(tmp_path)


def test_every_cut_of_a_slice_is_noticed(tmp_path: Path) -> None:
    planes = stack(3)
    hurt = write(tmp_path, planes) / planes[2].name
    whole = hurt.read_bytes()

    for end in range(0, len(whole), 23):
        hurt.write_bytes(whole[:end])
        assert hurt.name in refusal(tmp_path), end


def test_a_cut_file_of_frames_is_refused(tmp_path: Path) -> None:
    hurt = write_frames(tmp_path, stack()) / "frames.dcm"
    write(tmp_path / "other", [replace(p, tags=PT) for p in stack()])

    hurt.write_bytes(hurt.read_bytes()[:-1000])

    assert "frames.dcm is cut off" in refusal(tmp_path)
    assert "1 damaged file of other series" in notes(read(tmp_path, "4"))


@pytest.mark.parametrize(
    "keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"]
)
def test_a_slice_without_its_place_is_refused_by_name(tmp_path: Path, keyword: str) -> None:
    planes = stack()
    planes[4] = replace(planes[4], tags={keyword: None})
    write(tmp_path, planes)

    assert f"{keyword} is missing or no usable number in 1 slice: InstanceNumber 5" in refusal(
        tmp_path
    )


def test_one_slice_of_another_matrix_is_refused_by_name(tmp_path: Path) -> None:
    planes = stack()
    planes[4] = plane(planes[4].position, 5, size=(32, 32))
    write(tmp_path, planes)

    assert "different matrices: 16 x 16 pixels, but 32 x 32 pixels in InstanceNumber 5" in refusal(
        tmp_path
    )


def test_slices_of_two_frames_of_reference_are_refused_by_name(tmp_path: Path) -> None:
    planes = [
        replace(p, tags={"FrameOfReferenceUID": f"1.{1 + k // 15}"}) for k, p in enumerate(stack())
    ]
    write(tmp_path, planes)

    assert "different frames of reference" in refusal(tmp_path)


def test_slices_at_one_place_with_other_values_are_refused_by_name(tmp_path: Path) -> None:
    planes = stack()
    stored = planes[4].stored.copy()
    stored[-1, -1] += 1
    other = replace(planes[4], stored=stored, name="other.dcm")
    write(tmp_path, [*planes, other])

    assert (
        "InstanceNumber 5 (at -388.0 mm) and InstanceNumber 5 (at -388.0 mm) lie at the same"
        in (refusal(tmp_path))
    )


def test_a_single_slice_is_refused(tmp_path: Path) -> None:
    write(tmp_path, stack(1))

    assert "a single slice, InstanceNumber 1" in refusal(tmp_path)


def test_slices_at_one_place_only_are_refused(tmp_path: Path) -> None:
    write(tmp_path, [plane((0, 0, 0), k + 1, more=float(k)) for k in range(20)])

    assert "All 20 slices lie at the same place" in refusal(tmp_path)


def test_slices_that_lie_beside_each_other_are_refused(tmp_path: Path) -> None:
    write(tmp_path, [plane((20.0 * k, 0, 3.0 * k), k + 1) for k in range(20)])

    assert "lie beside each other" in refusal(tmp_path)


@pytest.mark.parametrize("slope", ["0", "none"])
def test_a_slope_that_is_none_is_refused_by_name(tmp_path: Path, slope: str) -> None:
    planes = stack()
    write(tmp_path, planes)
    data = dataset(planes[4])
    data.RescaleSlope = "0"
    data.save_as(tmp_path / planes[4].name)
    raw = (tmp_path / planes[4].name).read_bytes()
    (tmp_path / planes[4].name).write_bytes(
        raw.replace(b"DS\x02\x000 ", f"DS\x02\x00{slope[0]} ".encode())
    )

    assert "RescaleSlope is missing or no usable number in 1 slice: InstanceNumber 5" in refusal(
        tmp_path
    )


def test_monochrome1_keeps_its_values(tmp_path: Path) -> None:
    planes = [
        replace(p, intercept=-24.0, tags={"PhotometricInterpretation": "MONOCHROME1"})
        for p in stack()
    ]

    require_exact(read(write(tmp_path, planes)).image, planes)


def test_colour_is_refused_by_name(tmp_path: Path) -> None:
    planes = stack()
    rgb = {
        "PhotometricInterpretation": "RGB",
        "SamplesPerPixel": 3,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelData": bytes(16 * 16 * 3),
    }
    planes[4] = replace(planes[4], tags=rgb)
    write(tmp_path, planes)

    assert "InstanceNumber 5 is in colour (RGB, 3 values in each pixel)" in refusal(tmp_path)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32])
def test_values_of_every_integer_type_are_exact(tmp_path: Path, kind: type[np.generic]) -> None:
    planes = [replace(p, stored=p.stored.astype(kind), intercept=-7.0) for p in stack()]

    require_exact(read(write(tmp_path, planes)).image, planes)


def test_bits_outside_those_that_are_stored_are_no_part_of_a_value(tmp_path: Path) -> None:
    clean = [replace(p, stored=(p.stored & 0x7FF).astype(np.int16)) for p in stack()]
    dirty = [
        replace(p, stored=p.stored | np.int16(0x7000), tags={"BitsStored": 12, "HighBit": 11})
        for p in clean
    ]

    require_exact(read(write(tmp_path, dirty)).image, clean)


def test_slopes_that_are_no_integers_are_exact(tmp_path: Path) -> None:
    planes = [
        replace(p, slope=round(0.1 * (k + 1), 3), intercept=0.25) for k, p in enumerate(stack())
    ]

    image = read(write(tmp_path, planes)).image

    require_exact(image, planes)
    assert image.GetPixelID() == sitk.sitkFloat64
