# mypy: allow-untyped-calls
"""What the rules find in a chest, in parts of one, and in no chest at all."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.bundle import BundleOutcome
from dss_inference.device.runner import Runner
from dss_inference.errors import Cancelled, InferenceError
from dss_inference.lungs.bundle import LungSegmentation
from dss_inference.lungs.hounsfield import require_contrast
from dss_inference.lungs.notes import NO_LUNG
from dss_phantom.chest import Phantom, PhantomSpec, make_phantom
from support.builders import grid_of

pytestmark = pytest.mark.slow

Found = npt.NDArray[np.uint8]


def outcome_on(image: sitk.Image, folder: Path, runner: Runner) -> BundleOutcome:
    sitk.WriteImage(image, folder / "ct.nii.gz")
    bundle = LungSegmentation(runner)
    return bundle.run(folder / "ct.nii.gz", folder, {}, lambda *_: None, lambda: False)


def found_in(image: sitk.Image, folder: Path, runner: Runner) -> sitk.Image:
    return sitk.ReadImage(outcome_on(image, folder, runner).segmentation)


def dice(a: Found, b: Found, side: int) -> float:
    both = (a == side) & (b == side)
    return 2 * float(both.sum()) / float((a == side).sum() + (b == side).sum())


def edited(chest: Phantom, edit: slice | tuple[slice, ...], hu: int) -> sitk.Image:
    voxels = sitk.GetArrayFromImage(chest.ct)
    voxels[edit] = hu
    image = sitk.GetImageFromArray(voxels)
    image.CopyInformation(chest.ct)
    return image


def texts(outcome: BundleOutcome) -> str:
    return " ".join(note.text for note in outcome.notes)


@pytest.fixture(scope="module")
def found(chest: Phantom, runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("chest")
    return sitk.GetArrayFromImage(found_in(chest.ct, folder, runner))


@pytest.mark.parametrize("side", [1, 2])
def test_each_lung_of_the_phantom_is_found_on_its_side(
    chest: Phantom, found: Found, side: int
) -> None:
    assert dice(found, sitk.GetArrayFromImage(chest.truth), side) > 0.985


@pytest.mark.parametrize("code", ["RAS", "PIR", "ASL", "SRP"])
def test_the_same_chest_in_another_orientation_gives_the_same_lungs(
    chest: Phantom, found: Found, runner: Runner, tmp_path: Path, code: str
) -> None:
    turned = found_in(sitk.DICOMOrient(chest.ct, code), tmp_path, runner)

    assert np.array_equal(sitk.GetArrayFromImage(sitk.DICOMOrient(turned, "LPS")), found)


@pytest.mark.parametrize(
    ("orientation", "oblique_deg"), [("LPS", 0.0), ("RAS", 12.0), ("PIR", 25.0), ("LAS", 7.0)]
)
def test_the_segmentation_lies_in_the_exact_grid_of_its_image(
    runner: Runner, tmp_path: Path, orientation: str, oblique_deg: float
) -> None:
    spec = PhantomSpec(
        size=(80, 78, 82),
        spacing_mm=(4.5, 4.25, 4.3),
        origin_mm=(-211.7, 93.1, -1000.3),
        orientation=orientation,
        oblique_deg=oblique_deg,
    )
    phantom = make_phantom(spec, runner)

    segmentation = found_in(phantom.ct, tmp_path, runner)

    assert grid_of(segmentation).is_same_as(grid_of(sitk.ReadImage(tmp_path / "ct.nii.gz")))
    truth = sitk.GetArrayFromImage(phantom.truth)
    assert min(dice(sitk.GetArrayFromImage(segmentation), truth, s) for s in (1, 2)) > 0.97


def test_a_windpipe_open_to_the_outside_does_not_drain_the_lungs(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    blank_ends = edited(chest, slice(-4, None), -1000)

    voxels = sitk.GetArrayFromImage(found_in(blank_ends, tmp_path, runner))

    truth = sitk.GetArrayFromImage(chest.truth)
    assert min(dice(voxels, truth, side) for side in (1, 2)) > 0.98


def test_padding_far_below_air_changes_nothing(
    chest: Phantom, found: Found, runner: Runner, tmp_path: Path
) -> None:
    corners = sitk.GetArrayFromImage(chest.ct)
    corners[corners == -1024] = -3024
    padded = sitk.GetImageFromArray(corners)
    padded.CopyInformation(chest.ct)

    assert np.array_equal(sitk.GetArrayFromImage(found_in(padded, tmp_path, runner)), found)


def test_gas_in_the_bowel_is_no_lung(chest: Phantom, runner: Runner, tmp_path: Path) -> None:
    flesh = sitk.GetArrayFromImage(chest.ct)
    flesh[sitk.GetArrayFromImage(chest.truth) > 0] = 40
    rng = np.random.default_rng(1)
    flesh[30:40, 25:40, 30:60] = rng.normal(-985, 20, (10, 15, 30))
    abdomen = sitk.GetImageFromArray(flesh)
    abdomen.CopyInformation(chest.ct)

    outcome = outcome_on(abdomen, tmp_path, runner)

    assert outcome.notes[0].text == NO_LUNG
    assert [label.volume_ml for label in outcome.labels] == [0.0, 0.0]
    assert not sitk.GetArrayFromImage(sitk.ReadImage(outcome.segmentation)).any()


def test_one_lung_in_a_cropped_view_is_given_no_side(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    cropped = chest.ct[53:80, 12:60, 25:60]

    outcome = outcome_on(cropped, tmp_path, runner)

    assert [(label.value, label.name) for label in outcome.labels] == [(3, "lung")]
    assert "does not tell left from right" in texts(outcome)


def test_lungs_that_fill_the_corners_of_a_narrow_view_are_found(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    narrow = (slice(26, 70), slice(24, 46), slice(36, 46))

    voxels = sitk.GetArrayFromImage(found_in(chest.ct[narrow], tmp_path, runner))

    truth = sitk.GetArrayFromImage(chest.truth[narrow])
    assert truth[:, [0, -1], [0, -1]].all()
    assert min(dice(voxels, truth, side) for side in (1, 2)) > 0.97


def test_a_missing_lung_in_a_whole_body_is_named(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    filled = sitk.GetArrayFromImage(chest.ct)
    filled[sitk.GetArrayFromImage(chest.truth) == 1] = 30
    image = sitk.GetImageFromArray(filled)
    image.CopyInformation(chest.ct)

    outcome = outcome_on(image, tmp_path, runner)

    assert "The left lung was not found." in texts(outcome)
    assert outcome.labels[1].volume_ml > 1000


def test_lungs_cut_by_the_view_are_said_to_be(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    outcome = outcome_on(chest.ct[:, :, 25:50], tmp_path, runner)

    assert "reach the border of the image" in texts(outcome)


def test_the_volumes_are_those_of_the_voxels(
    chest: Phantom, found: Found, runner: Runner, tmp_path: Path
) -> None:
    labels = outcome_on(chest.ct, tmp_path, runner).labels

    counted = [round(float((found == v).sum()) * 0.064, 1) for v in (1, 2)]
    assert [label.volume_ml for label in labels] == pytest.approx(counted, abs=0.11)


def test_a_cancelled_run_ends_before_its_next_stage(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    sitk.WriteImage(chest.ct, tmp_path / "ct.nii.gz")
    stages: list[str] = []

    with pytest.raises(Cancelled):
        LungSegmentation(runner).run(
            tmp_path / "ct.nii.gz",
            tmp_path,
            {},
            lambda _, stage: stages.append(stage),
            lambda: len(stages) == 2,
        )

    assert len(stages) == 2
    assert not (tmp_path / "segmentation.nii.gz").exists()


@pytest.mark.parametrize("room", [0, 60])
def test_an_image_1024_above_hounsfield_units_is_refused(
    chest: Phantom, runner: Runner, tmp_path: Path, room: int
) -> None:
    """However much air lies around the patient."""
    wide = sitk.ConstantPad(chest.ct, [room, room, 0], [room, room, 0], -1000)
    shifted = sitk.Cast(wide + 1024, sitk.sitkInt16)
    noisy = sitk.AdditiveGaussianNoise(shifted, 60.0, 0.0, 1)

    with pytest.raises(InferenceError, match="is 1024 to be subtracted"):
        outcome_on(noisy, tmp_path, runner)


def test_an_image_1024_below_hounsfield_units_is_refused(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    lower = sitk.Cast(sitk.Clamp(chest.ct - 1024, sitk.sitkInt16, -1024, 3071), sitk.sitkInt16)
    with pytest.raises(InferenceError, match="a CT in Hounsfield units is needed"):
        outcome_on(lower, tmp_path, runner)


def test_a_chest_whose_values_were_scaled_is_refused(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    faint = sitk.Cast(chest.ct, sitk.sitkFloat32) * 0.1

    with pytest.raises(InferenceError, match="were the values scaled"):
        outcome_on(faint, tmp_path, runner)


@pytest.mark.parametrize("lowest", [-160, -350])
def test_a_chest_whose_dark_values_were_cut_off_is_refused(
    chest: Phantom, runner: Runner, tmp_path: Path, lowest: int
) -> None:
    """By a window for soft tissue."""
    windowed = sitk.Clamp(chest.ct, sitk.sitkInt16, lowest, 240)

    with pytest.raises(InferenceError, match=f"values are {lowest}.*were darker values cut off"):
        outcome_on(windowed, tmp_path, runner)


def test_an_image_of_a_single_value_has_no_contrast_to_be_lost() -> None:
    require_contrast(np.full((8, 8, 8), 40, np.int16))


def test_an_image_without_air_is_refused(chest: Phantom, runner: Runner, tmp_path: Path) -> None:
    """As of magnetic resonance: fat is bright, flesh grey, and lungs and air are dark alike."""
    hu = sitk.GetArrayFromImage(chest.ct)
    values = np.where(hu < -300, -375, np.clip(200 - 3 * np.abs(hu + 100), -320, 500))
    noise = np.random.default_rng(1).normal(0, 20, hu.shape)
    image = sitk.GetImageFromArray((values + noise).astype(np.int16))
    image.CopyInformation(chest.ct)

    with pytest.raises(InferenceError, match=r"below -250, but hardly any below -800"):
        outcome_on(image, tmp_path, runner)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_gas_in_flesh_is_air(share: float) -> None:
    hu = np.random.default_rng(1).normal(40, 20, (32, 64, 64))
    hu[8:24, 16:48, 16:48] = -600
    hu[8 : 8 + round(16 * share), 16:48, 16:48] = -950

    require_contrast(hu.astype(np.int16))


def test_a_chest_whose_every_second_slice_is_empty_is_refused(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    with pytest.raises(InferenceError, match="every second slice empty"):
        outcome_on(edited(chest, slice(None, None, 2), 0), tmp_path, runner)


def test_a_chest_in_centimetres_is_refused(chest: Phantom, runner: Runner, tmp_path: Path) -> None:
    tiny = sitk.Image(chest.ct)
    tiny.SetSpacing([s / 10 for s in tiny.GetSpacing()])

    with pytest.raises(InferenceError, match=r"only 38 mm across.*check its spacing"):
        outcome_on(tiny, tmp_path, runner)


def test_the_verdict_comes_first(chest: Phantom, runner: Runner, tmp_path: Path) -> None:
    assert outcome_on(chest.ct, tmp_path, runner).notes[0].text == "Verdict on the lungs: good."


def test_a_chest_with_a_hundredfold_volume_fails_with_the_volume(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    huge = sitk.Image(chest.ct)
    huge.SetSpacing([30.0, 30.0, 30.0])

    with pytest.raises(InferenceError, match="which no lungs do"):
        outcome_on(huge, tmp_path, runner)


def test_lung_too_dark_to_be_told_from_gas_fails_the_ticket(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    even = sitk.GetArrayFromImage(chest.ct)
    even[sitk.GetArrayFromImage(chest.truth) > 0] = -1000
    image = sitk.GetImageFromArray(even)
    image.CopyInformation(chest.ct)

    with pytest.raises(InferenceError, match="may be lung"):
        outcome_on(image[:, :, :60], tmp_path, runner)
