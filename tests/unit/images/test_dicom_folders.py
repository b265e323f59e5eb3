# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""DICOM folders as they come: each is read as its tags say, corrected with a note, or refused by name."""

import math
import os
import random
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dss_images.dicom.errors import DicomRefused
from dss_images.dicom.reading import Volume, read, survey
from support.dicom_series import (
    CORONAL,
    TILTED,
    Plane,
    dataset,
    plane,
    stack,
    write,
    write_enhanced,
    write_frames,
)
from support.dicom_truth import require_exact, require_resampled

PT = {"Modality": "PT", "SeriesInstanceUID": "1.2.3", "SeriesNumber": 4}
SCOUT = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def notes(volume: Volume) -> str:
    return " ".join(note.text for note in volume.notes)


def refusal(source: Path, series: str = "") -> str:
    with pytest.raises(DicomRefused) as caught:
        read(source, series)
    return str(caught.value)


def test_missing_slices_are_refused_by_name(tmp_path: Path) -> None:
    planes = stack()

    write(tmp_path, planes[:8] + planes[11:])

    assert (
        "3 slices between InstanceNumber 8 (at -379.0 mm) and InstanceNumber 12 (at -367.0 mm)"
        in (refusal(tmp_path))
    )


def test_slices_that_are_missing_by_turns_are_refused_if_their_numbers_are(tmp_path: Path) -> None:
    planes = stack()

    write(tmp_path, [p for k, p in enumerate(planes) if k not in {6, 8, 10}])

    assert "1 slice between InstanceNumber 6 (at -385.0 mm) and InstanceNumber 8" in refusal(
        tmp_path
    )


def test_places_a_hundredth_of_a_millimetre_from_even_ones_are_exact(tmp_path: Path) -> None:
    places = [0.0, *(3.0 * k + 0.012 for k in range(1, 19)), 57.0]
    planes = [plane((0, 0, z), k + 1) for k, z in enumerate(places)]

    require_exact(read(write(tmp_path, planes)).image, planes)


def test_what_no_slice_covers_has_the_lowest_value(tmp_path: Path) -> None:
    planes = [plane((0, 0, 3.0 * k), k + 1, TILTED) for k in range(20)]

    volume = read(write(tmp_path, planes))

    lowest = min(int(p.stored.min()) for p in planes)
    assert [volume.image[0, 0, 0], volume.image[0, 30, 19]] == [lowest, lowest]
    assert f"those that no slice covers have the value {lowest}" in notes(volume)


def test_uneven_steps_are_resampled_with_a_note(tmp_path: Path) -> None:
    places = [3.0 * k for k in range(10)] + [27.0 + 6.0 * k for k in range(1, 11)]
    planes = [plane((0, 0, z), k + 1) for k, z in enumerate(places)]

    volume = read(write(tmp_path, planes))

    assert "resampled from uneven steps of 3 to 6 mm" in notes(volume)
    assert volume.image.GetSize() == (16, 16, 30)
    assert require_resampled(volume.image, planes) == 16 * 16 * 30


def test_of_two_phases_the_first_is_taken_with_a_warning(tmp_path: Path) -> None:
    first = stack()
    second = [
        replace(p, number=20 + (p.number or 0), stored=p.stored + 500, name=f"b{p.name}")
        for p in first
    ]

    volume = read(write(tmp_path, [*first, *second]))

    require_exact(volume.image, first)
    assert "2 phases, told apart by InstanceNumber; phase 1 was taken" in notes(volume)
    assert [n.level for n in volume.notes if "phases" in n.text] == ["warning"]


def test_the_user_chooses_the_phase(tmp_path: Path) -> None:
    first = stack()
    second = [
        replace(p, number=20 + (p.number or 0), stored=p.stored + 500, name=f"b{p.name}")
        for p in first
    ]
    write(tmp_path, [*first, *second])

    require_exact(read(tmp_path, "3.2").image, second)

    assert "there is no phase 3" in refusal(tmp_path, "3.3")


def test_phases_that_lie_between_each_other_s_slices_are_told_apart(tmp_path: Path) -> None:
    first = [replace(p, tags={"AcquisitionNumber": 1}) for p in stack()]
    second = [
        plane((-20, 30, -399.0 + 3 * k), 21 + k, more=500.0, tags={"AcquisitionNumber": 2})
        for k in range(20)
    ]

    volume = read(write(tmp_path, [*first, *second]))

    require_exact(volume.image, first)
    assert "told apart by AcquisitionNumber" in notes(volume)


def test_a_gantry_tilt_is_resampled_with_a_note(tmp_path: Path) -> None:
    planes = [plane((0, 0, 3.0 * k), k + 1, TILTED) for k in range(20)]

    volume = read(write(tmp_path, planes))

    assert "resampled from a gantry tilt of 15.0 degrees" in notes(volume)
    assert require_resampled(volume.image, planes) > 4000


def test_a_tilt_and_uneven_steps_at_once_are_resampled(tmp_path: Path) -> None:
    places = [3.0 * k for k in range(10)] + [27.0 + 6.0 * k for k in range(1, 11)]
    planes = [plane((0, 0, z), k + 1, TILTED) for k, z in enumerate(places)]

    volume = read(write(tmp_path, planes))

    assert "a gantry tilt of 15.0 degrees and from uneven steps" in notes(volume)
    assert require_resampled(volume.image, planes) > 6000


def test_a_coarse_ramp_is_not_rounded_when_it_is_resampled(tmp_path: Path) -> None:
    planes = [plane((0, 0, 3.0 * k), k + 1, TILTED) for k in range(20)]
    low = [replace(p, stored=np.rint(p.stored / 10).astype(np.int16)) for p in planes]

    image = read(write(tmp_path, low)).image

    assert image.GetPixelID() == sitk.sitkFloat32


def test_a_tilt_that_only_the_tag_of_the_gantry_knows_is_told(tmp_path: Path) -> None:
    planes = [replace(p, tags={"GantryDetectorTilt": 12}) for p in stack()]

    volume = read(write(tmp_path, planes))

    require_exact(volume.image, planes)
    assert "GantryDetectorTilt says 12 degrees" in notes(volume)


def test_a_series_in_several_folders_is_one(tmp_path: Path) -> None:
    planes = [replace(p, name=f"{'AB'[k // 10]}/{p.name}") for k, p in enumerate(stack())]

    require_exact(read(write(tmp_path, planes)).image, planes)


def test_a_ct_is_taken_before_a_longer_pet(tmp_path: Path) -> None:
    ct = stack(10)
    pet = [replace(p, name=f"pet{p.name}", tags=PT) for p in stack()]
    write(tmp_path, [*ct, *pet])

    volume = read(tmp_path)

    require_exact(volume.image, ct)
    assert "Left out: series 4 (PT, 20 slices)." in notes(volume)
    require_exact(read(tmp_path, "3").image, ct)
    require_exact(read(tmp_path, "4").image, pet)
    require_exact(read(tmp_path, "1.2.3").image, pet)


def test_a_number_that_is_not_there_is_refused_with_the_list(tmp_path: Path) -> None:
    pet = [replace(p, name=f"pet{p.name}", tags=PT) for p in stack()]
    write(tmp_path, [*stack(10), *pet])

    told = refusal(tmp_path, "7")

    assert "   3  CT        10 slices  16 x 16  axial  THORAX" in told
    assert "   4  PT        20 slices  16 x 16  axial  THORAX" in told


def test_two_series_of_the_same_length_are_for_the_user_to_choose(tmp_path: Path) -> None:
    other = [
        replace(p, name=f"b{p.name}", tags={"SeriesInstanceUID": "1.2.3", "SeriesNumber": 5})
        for p in stack()
    ]
    write(tmp_path, [*stack(), *other])

    assert "2 series have 20 slices each; choose one with --series" in refusal(tmp_path)


def test_series_without_usable_numbers_are_counted(tmp_path: Path) -> None:
    tags = {"SeriesInstanceUID": "1.2.3"}
    other = [replace(p, name=f"b{p.name}", tags=tags) for p in stack(10)]
    write(tmp_path, [*stack(), *other])

    assert [verdict.series.number for verdict in survey(tmp_path).verdicts] == [1, 2]


def test_a_folder_without_ct_or_mr_is_refused_with_the_list(tmp_path: Path) -> None:
    write(tmp_path, [replace(p, tags=PT) for p in stack()])

    assert "There is no CT or MR series" in refusal(tmp_path)


@pytest.mark.parametrize("size", [(16, 16), (32, 24)])
def test_a_localizer_in_the_series_is_left_out_with_a_note(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    planes = stack()
    scout = plane((0, 0, 0), 21, SCOUT, size, name="scout.dcm")

    volume = read(write(tmp_path, [*planes, scout]))

    require_exact(volume.image, planes)
    assert "1 localizer of the series left out: InstanceNumber 21" in notes(volume)


def test_as_many_slices_across_as_along_are_refused(tmp_path: Path) -> None:
    across = [replace(p, name=f"b{p.name}") for p in stack(orientation=CORONAL)]
    write(tmp_path, [*stack(), *across])

    assert "mixes slices of different orientations" in refusal(tmp_path)


def test_names_may_begin_with_a_dot(tmp_path: Path) -> None:
    planes = [replace(p, name=f".CT..{p.number:04d}.IMA") for p in stack()]

    require_exact(read(write(tmp_path, planes)).image, planes)


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


def test_structure_sets_and_other_files_are_left_out_with_a_note(tmp_path: Path) -> None:
    planes = stack()
    write(tmp_path, planes)
    for modality, sop_class in (("RTSTRUCT", "481.3"), ("SR", "88.33"), ("SEG", "66.4")):
        tags = {
            "Modality": modality,
            "SOPClassUID": f"1.2.840.10008.5.1.4.1.1.{sop_class}",
            "SeriesInstanceUID": f"1.2.{len(modality)}",
            "SeriesNumber": len(modality),
        }
        data = dataset(replace(planes[0], tags=tags))
        for keyword in ("ImagePositionPatient", *(["PixelData"] if modality != "SEG" else [])):
            delattr(data, keyword)
        data.save_as(tmp_path / f"{modality}.bin", enforce_file_format=True)
    (tmp_path / "README").write_text("nothing", encoding="utf-8")
    (tmp_path / "viewer.exe").write_bytes(b"MZ" + bytes(1000))

    volume = read(tmp_path)

    require_exact(volume.image, planes)
    assert "Left out: " in notes(volume)
    for left_out in ("(SEG, 1 slice)", "RTSTRUCT files", "SR files", "2 files other than DICOM"):
        assert left_out in notes(volume)


def test_what_is_named_like_a_slice_and_is_none_is_refused(tmp_path: Path) -> None:
    write(tmp_path, stack())
    (tmp_path / "CT.0021.dcm").write_bytes(b"")

    assert "may be slices, and cannot be read as DICOM: CT.0021.dcm" in refusal(tmp_path)


@pytest.mark.parametrize("rest", [b"", bytes(100)])
def test_an_empty_file_among_names_without_a_pattern_is_refused(
    tmp_path: Path, rest: bytes
) -> None:
    write(tmp_path, [replace(p, name=name) for p, name in zip(stack(4), "abcd", strict=True)])
    (tmp_path / "e").write_bytes(rest)

    assert "may be slices, and cannot be read as DICOM: e." in refusal(tmp_path)


def test_a_localizer_may_lack_its_place(tmp_path: Path) -> None:
    planes = stack()
    tags = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "ImagePositionPatient": None}
    scout = plane((0, 0, 0), 21, SCOUT, (32, 24), name="scout.dcm", tags=tags)

    require_exact(read(write(tmp_path, [*planes, scout])).image, planes)


def test_echoes_that_lie_evenly_between_each_other_s_slices_are_told_apart(tmp_path: Path) -> None:
    first = [replace(p, tags={"EchoTime": 10}) for p in stack()]
    second = [
        plane((-20, 30, -398.5 + 3 * k), 21 + k, more=500.0, tags={"EchoTime": 80})
        for k in range(20)
    ]

    volume = read(write(tmp_path, [*first, *second]))

    require_exact(volume.image, first)
    assert "told apart by EchoTime" in notes(volume)


def test_slices_of_one_volume_may_be_taken_in_two_acquisitions(tmp_path: Path) -> None:
    planes = [replace(p, tags={"AcquisitionNumber": 1 + k % 2}) for k, p in enumerate(stack())]

    require_exact(read(write(tmp_path, planes)).image, planes)


def test_the_times_of_enhanced_frames_are_phases(tmp_path: Path) -> None:
    first = [replace(p, tags={"_time": 1}) for p in stack()]
    second = [replace(p, tags={"_time": 2}, stored=p.stored + 500) for p in stack()]
    write_enhanced(tmp_path, random.Random(3).sample([*first, *second], 40))

    require_exact(read(tmp_path, "3.1").image, first)
    require_exact(read(tmp_path, "3.2").image, second)


def test_the_shadows_that_macos_leaves_are_no_slices(tmp_path: Path) -> None:
    planes = stack()
    write(tmp_path, planes)
    (tmp_path / f"._{planes[0].name}").write_bytes(b"\x00\x05\x16\x07" + bytes(100))

    require_exact(read(tmp_path).image, planes)


def test_an_archive_is_read_like_its_folder(tmp_path: Path) -> None:
    planes = stack()
    folder = write(tmp_path / "dicom", planes)
    archive = pack(tmp_path / "study.zip", sorted(folder.iterdir()))

    require_exact(read(archive).image, planes)


def test_an_archive_in_a_folder_is_read_too(tmp_path: Path) -> None:
    planes = stack()
    folder = write(tmp_path / "dicom", planes)
    (tmp_path / "in").mkdir()
    pack(tmp_path / "in" / "study.zip", sorted(folder.iterdir()))

    require_exact(read(tmp_path / "in").image, planes)


def pack(archive: Path, files: Sequence[Path]) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for file in files:
            opened.write(file, f"../../{file.name}")
    return archive


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path / "study.zip", sorted(write(tmp_path / "dicom", stack()).iterdir()))
    whole = bytearray(archive.read_bytes())
    whole[300] ^= 0xFF
    archive.write_bytes(whole)

    assert "The archive study.zip is damaged" in refusal(archive)


def test_an_archive_that_grows_too_large_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(tmp_path / "study.zip", sorted(write(tmp_path / "dicom", stack()).iterdir()))
    monkeypatch.setattr("dss_images.dicom.files.MOST_UNPACKED_BYTES", 10_000)

    assert "at most" in refusal(archive)


def test_links_are_followed_and_counted_once(tmp_path: Path) -> None:
    planes = stack()
    elsewhere = write(tmp_path / "elsewhere", planes)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "series").symlink_to(elsewhere)
    (folder / "again").symlink_to(elsewhere)
    (folder / "round").symlink_to(folder)

    volume = read(folder)

    require_exact(volume.image, planes)
    assert "copies" not in notes(volume)


def test_a_link_to_a_slice_that_is_not_there_is_refused(tmp_path: Path) -> None:
    planes = stack()
    write(tmp_path, planes)
    (tmp_path / planes[-1].name).unlink()
    (tmp_path / planes[-1].name).symlink_to("annex")

    assert f"{planes[-1].name} (is a link to a file that is not there)" in refusal(tmp_path)


def test_a_pipe_in_the_folder_is_not_waited_for(tmp_path: Path) -> None:
    planes = stack()
    write(tmp_path, planes)
    os.mkfifo(tmp_path / "CT.0099.dcm")

    require_exact(read(tmp_path).image, planes)


def test_a_slice_that_only_the_directory_knows_is_missed(tmp_path: Path) -> None:
    planes = stack()
    write(tmp_path, planes)
    write_directory(tmp_path, planes)
    require_exact(read(tmp_path / "DICOMDIR").image, planes)

    (tmp_path / planes[-1].name).unlink()

    assert (
        "The DICOMDIR lists 1 slice of the series that are not in the folder: InstanceNumber 20"
        in (refusal(tmp_path))
    )


def write_directory(folder: Path, planes: Sequence[Plane]) -> None:
    written = [dataset(one) for one in planes]
    records = [Dataset()]
    records[0].DirectoryRecordType = "SERIES"
    records[0].SeriesInstanceUID = written[0].SeriesInstanceUID
    for one in written:
        record = Dataset()
        record.DirectoryRecordType, record.InstanceNumber = "IMAGE", one.InstanceNumber
        record.ReferencedSOPInstanceUIDInFile = one.SOPInstanceUID
        records.append(record)
    directory, meta = Dataset(), FileMetaDataset()
    directory.DirectoryRecordSequence = records
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.1.3.10")
    meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = UID("1.2.8"), ExplicitVRLittleEndian
    directory.file_meta = meta
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)


def test_hints_of_slices_missing_at_an_end_are_told(tmp_path: Path) -> None:
    write(tmp_path / "a", stack()[2:])
    write(tmp_path / "b", [replace(p, tags={"ImagesInAcquisition": 20}) for p in stack()[:18]])

    assert "The InstanceNumbers begin at 3" in notes(read(tmp_path / "a"))
    assert "ImagesInAcquisition says 20; 18 slices are here" in notes(read(tmp_path / "b"))


def test_a_hint_of_every_second_slice_missing_is_told(tmp_path: Path) -> None:
    planes = stack()[::2]

    volume = read(write(tmp_path, planes))

    require_exact(volume.image, planes)
    assert "InstanceNumbers go up by 2; slices between may be missing" in notes(volume)


def test_a_gap_in_one_phase_names_the_way_to_another(tmp_path: Path) -> None:
    first = [replace(p, tags={"EchoTime": 10}) for p in stack()]
    second = [
        replace(
            p,
            number=20 + (p.number or 0),
            name=f"b{p.name}",
            stored=p.stored + 500,
            tags={"EchoTime": 80},
        )
        for p in first
    ]
    write(tmp_path, [*first[:9], *first[10:], *second])

    assert "That is phase 1 of 2; choose another with --series" in refusal(tmp_path)
    require_exact(read(tmp_path, "3.2").image, second)


def test_every_slice_has_one_orientation_even_if_its_digits_are_few(tmp_path: Path) -> None:
    turned = (0.866, 0.5, 0.0, -0.5, 0.866, 0.0)
    planes = stack(orientation=turned)

    require_exact(read(write(tmp_path, planes)).image, planes)


def test_no_note_names_the_patient_or_a_file(tmp_path: Path) -> None:
    scout = plane((0, 0, 0), None, SCOUT, name="SMITH_scout.dcm")
    tags = {"PatientName": "SMITH", "PatientID": "SMITH", "SeriesDescription": "SMITH"}
    planes = [replace(p, tags=tags, name=f"SMITH{p.name}") for p in [*stack(), scout]]

    assert "SMITH" not in notes(read(write(tmp_path, planes)))


def test_a_list_tells_what_would_come_of_each_series(tmp_path: Path) -> None:
    pet = [replace(p, name=f"pet{p.name}", tags=PT) for p in stack()]
    write(tmp_path, [*stack(10), *pet[:5], *pet[9:]])

    found = survey(tmp_path)

    ct, lost = found.verdicts
    assert found.choice == "Without --series, series 3 is taken."

    assert (ct.refused, ct.sentence) == (False, "An image of 16 x 16 x 10 voxels of 1 x 1 x 3 mm.")
    assert (lost.refused, "4 slices between InstanceNumber 5" in lost.sentence) == (True, True)


def test_progress_goes_from_nothing_to_all(tmp_path: Path) -> None:
    shares: list[float] = []

    read(write(tmp_path, stack()), progress=shares.append)

    assert shares == sorted(shares)
    assert math.isclose(shares[-1], 1.0)
