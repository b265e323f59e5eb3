# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""What a user is told of a DICOM folder: other files, phases, hints of missing slices, lists and progress."""

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from dss_images.dicom.reading import read, survey
from support.dicom_reading import PT, SCOUT, notes, refusal
from support.dicom_series import (
    dataset,
    plane,
    stack,
    write,
    write_enhanced,
)
from support.dicom_truth import require_exact


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
    assert "Not part of this image: " in notes(volume)
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
