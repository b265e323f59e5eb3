# mypy: allow-untyped-calls
"""How well lungs are found in real CTs, against references made by others."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.bundle import Bundle, BundleOutcome
from dss_inference.bundle_catalogue import load
from dss_inference.errors import InferenceError
from dss_inference.lungs.notes import NO_LUNG
from support.builders import grid_of
from support.references import (
    BASES,
    BASES_REFERENCE,
    CHEST,
    CHEST_REFERENCE,
    dice,
    lobes_as_sides,
    thirds_as_sides,
    voxels_of,
)

pytestmark = pytest.mark.shared_data

ABDOMEN = "totalsegmentator/example_ct.nii.gz"
FIRST_SLICE_WITH_LUNG = 101
"""Of ABDOMEN, which shows the same lung bases as BASES in its topmost slices."""


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load("lung-segmentation", "cpu", 2)


def outcome_on(bundle: Bundle, image: Path, folder: Path) -> BundleOutcome:
    return bundle.run(image, folder, {}, lambda *_: None, lambda: False)


def test_a_whole_real_chest_is_found(shared_data: Path, tmp_path: Path, bundle: Bundle) -> None:
    outcome = outcome_on(bundle, shared_data / CHEST, tmp_path)

    score = dice(
        voxels_of(outcome.segmentation), thirds_as_sides(voxels_of(shared_data / CHEST_REFERENCE))
    )
    assert min(score.values()) >= 0.985, score


def test_lung_bases_beside_bowel_gas_are_found(
    shared_data: Path, tmp_path: Path, bundle: Bundle
) -> None:
    outcome = outcome_on(bundle, shared_data / BASES, tmp_path)

    reference = voxels_of(shared_data / BASES_REFERENCE)
    score = dice(voxels_of(outcome.segmentation), lobes_as_sides(reference))
    assert min(score.values()) >= 0.96, score


def test_an_abdomen_without_lung_gives_none_and_says_so(
    shared_data: Path, tmp_path: Path, bundle: Bundle
) -> None:
    below = sitk.ReadImage(shared_data / ABDOMEN)[:, :, :FIRST_SLICE_WITH_LUNG]
    sitk.WriteImage(below, tmp_path / "below.nii.gz")

    outcome = outcome_on(bundle, tmp_path / "below.nii.gz", tmp_path)

    assert not voxels_of(outcome.segmentation).any()
    assert [note.text for note in outcome.notes] == [NO_LUNG]


def test_the_bases_on_top_of_a_whole_abdomen_are_the_same_as_alone(
    shared_data: Path, tmp_path: Path, bundle: Bundle
) -> None:
    (tmp_path / "alone").mkdir()
    alone = voxels_of(outcome_on(bundle, shared_data / BASES, tmp_path / "alone").segmentation)

    whole = voxels_of(outcome_on(bundle, shared_data / ABDOMEN, tmp_path).segmentation)

    assert np.array_equal(whole[-len(alone) :], alone)
    assert not whole[: -len(alone)].any()


def test_lung_bases_as_dark_as_gas_are_no_empty_success(
    shared_data: Path, tmp_path: Path, bundle: Bundle
) -> None:
    bases = sitk.ReadImage(shared_data / BASES)
    lungs = sitk.GetArrayFromImage(sitk.ReadImage(shared_data / BASES_REFERENCE))
    voxels = sitk.GetArrayFromImage(bases)
    voxels[(lungs >= 10) & (lungs <= 14) & (voxels < -600)] -= 130
    dark = sitk.GetImageFromArray(voxels)
    dark.CopyInformation(bases)
    sitk.WriteImage(dark, tmp_path / "dark.nii.gz")

    with pytest.raises(InferenceError, match="may be lung"):
        outcome_on(bundle, tmp_path / "dark.nii.gz", tmp_path)


def test_a_slab_at_full_resolution_shows_two_lungs(
    shared_data: Path, tmp_path: Path, bundle: Bundle
) -> None:
    outcome = outcome_on(bundle, shared_data / "lidc/LIDC-IDRI-0003_slab.nii.gz", tmp_path)

    assert [label.value for label in outcome.labels] == [1, 2]
    assert all(300 < label.volume_ml < 500 for label in outcome.labels)


def test_an_image_windowed_to_eight_bits_is_refused(
    shared_data: Path, tmp_path: Path, bundle: Bundle
) -> None:
    with pytest.raises(InferenceError, match="go from 0 to 255; a CT in Hounsfield units"):
        outcome_on(bundle, shared_data / "vtkjs/LIDC2.mha", tmp_path)


@pytest.mark.parametrize("name", [CHEST, BASES, "lidc/LIDC-IDRI-0003_slab.nii.gz"])
def test_a_real_image_gets_its_segmentation_in_its_exact_grid(
    shared_data: Path, tmp_path: Path, bundle: Bundle, name: str
) -> None:
    outcome = outcome_on(bundle, shared_data / name, tmp_path)

    found = grid_of(sitk.ReadImage(outcome.segmentation))
    assert found.is_same_as(grid_of(sitk.ReadImage(shared_data / name)))


@pytest.mark.parametrize("code", ["RAS", "PIR", "ASL"])
def test_a_real_chest_has_the_same_lungs_in_another_orientation(
    shared_data: Path, tmp_path: Path, bundle: Bundle, code: str
) -> None:
    straight = voxels_of(outcome_on(bundle, shared_data / CHEST, tmp_path).segmentation)
    turned = sitk.DICOMOrient(sitk.ReadImage(shared_data / CHEST), code)
    sitk.WriteImage(turned, tmp_path / "turned.nrrd")

    found = sitk.ReadImage(outcome_on(bundle, tmp_path / "turned.nrrd", tmp_path).segmentation)

    assert np.array_equal(sitk.GetArrayFromImage(sitk.DICOMOrient(found, "LPS")), straight)
