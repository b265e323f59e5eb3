# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""DICOM series with missing, uneven or tilted slices, phases and several series: corrected with a note, or refused by name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_images.dicom.reading import read, survey
from support.dicom_reading import PT, SCOUT, notes, refusal
from support.dicom_series import (
    CORONAL,
    TILTED,
    plane,
    stack,
    write,
)
from support.dicom_truth import require_exact, require_resampled


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
    assert "Not part of this image: series 4 (PT, 20 slices)." in notes(volume)
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
