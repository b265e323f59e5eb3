# mypy: allow-untyped-calls
"""Images whose spacing, orientation or order of slices is wrong, although the lungs in them are found."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.device.runner import Runner
from dss_inference.lungs.bundle import LungSegmentation
from dss_inference.lungs.image_doubts import image_flags
from dss_inference.lungs.image_signs import ImageSigns, image_signs_of
from dss_inference.lungs.segmented_chest import SegmentedChest
from dss_inference.lungs.sides import LEFT, RIGHT
from dss_inference.lungs.view import Flags, View
from dss_phantom.chest import Phantom
from support.references import Voxels

Change = Callable[[Voxels], Voxels]


def slices(*parts: tuple[int, int]) -> Change:
    """The slices from one number to another, part after part."""
    return lambda voxels: np.concatenate([voxels[first:end] for first, end in parts])


def mixed(voxels: Voxels) -> Voxels:
    half = len(voxels) // 2
    return np.stack([voxels[:half], voxels[half : 2 * half]], axis=1).reshape(-1, *voxels.shape[1:])


def flipped(*axes: int) -> Change:
    return lambda voxels: np.flip(voxels, axes)


def segmented(
    chest: Phantom, change: Change = lambda v: v, slice_mm: float = 4.0, noise_hu: float = 0.0
) -> SegmentedChest:
    """The phantom with its true lungs, on its grid of 4 mm.  Sides are those of the image, not of the patient."""
    hu, truth = (
        np.ascontiguousarray(change(sitk.GetArrayFromImage(i))) for i in (chest.ct, chest.truth)
    )
    if (truth == LEFT).any() and _middle_x(truth == LEFT) < _middle_x(truth > 0):
        truth = np.where(truth > 0, LEFT + RIGHT - truth, 0).astype(np.uint8)
    noise = np.random.default_rng(1).normal(0, noise_hu, hu.shape)
    view = View(
        hu=np.clip(hu + noise, -1024, 3071).astype(np.int16), spacing_mm=(slice_mm, 4.0, 4.0)
    )
    return SegmentedChest(view=view, sides=truth.astype(np.uint8), air=truth > 0, clear_hu=-1000.0)


def _middle_x(there: Flags) -> float:
    return float(np.nonzero(there)[2].mean())


def signs(of: SegmentedChest) -> ImageSigns:
    return image_signs_of(of, of.upright(shows_both_sides=not of.is_cut))


def codes(of: SegmentedChest) -> list[str]:
    return [flag.code for flag in image_flags(signs(of), of.view.hu)]


@pytest.mark.parametrize("noise_hu", [0.0, 100.0])
def test_a_sound_image_of_both_lungs_is_not_doubted(chest: Phantom, noise_hu: float) -> None:
    sound = segmented(chest, noise_hu=noise_hu)

    assert signs(sound).tall is not None
    assert codes(sound) == []


@pytest.mark.parametrize(
    "part",
    [
        np.s_[:, :, :48],
        np.s_[:, :, 48:],
        np.s_[:, :36],
        np.s_[:, 36:],
        np.s_[40:],
        np.s_[:40],
        np.s_[30:50],
    ],
)
def test_a_part_of_a_sound_image_is_not_doubted(
    chest: Phantom, part: slice | tuple[slice, ...]
) -> None:
    assert codes(segmented(chest, lambda voxels: voxels[part])) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (slices((0, 34), (44, 78)), "slices_jump"),
        (slices((0, 44), (34, 78)), "slices_jump"),
        (slices((36, 78), (0, 36)), "slices_jump"),
        (mixed, "slices_mixed"),
        (flipped(1), "spine_in_front"),
        (flipped(1, 2), "spine_in_front"),
        (flipped(2), "heart_to_right"),
    ],
    ids=[
        "missing",
        "repeated",
        "exchanged",
        "mixed",
        "front to back",
        "about the long axis",
        "mirrored",
    ],
)
def test_slices_out_of_order_and_a_wrong_orientation_are_noticed(
    chest: Phantom, change: Change, code: str
) -> None:
    assert code in codes(segmented(chest, change))


@pytest.mark.parametrize("slice_mm", [2.0, 8.0])
def test_slices_half_or_twice_as_far_apart_as_stated_are_noticed(
    chest: Phantom, slice_mm: float
) -> None:
    assert codes(segmented(chest, slice_mm=slice_mm)) == ["height_unusual"]


def test_a_chest_without_its_bases_is_not_taken_for_flat(chest: Phantom) -> None:
    top = signs(segmented(chest, slices((50, 78))))

    assert top.tall is not None
    assert top.tall < 0.6
    assert list(image_flags(top, np.zeros((1, 1, 1), np.int16))) == []
    assert list(image_flags(replace(top, is_whole=True), np.zeros((1, 1, 1), np.int16)))


@pytest.mark.slow
def test_the_user_is_told_that_left_and_right_may_be_exchanged(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    turned = sitk.Flip(chest.ct, (True, True, False))
    turned.CopyInformation(chest.ct)
    sitk.WriteImage(turned, tmp_path / "ct.nii.gz")

    outcome = LungSegmentation(runner).run(
        tmp_path / "ct.nii.gz", tmp_path, {}, lambda *_: None, lambda: False
    )

    assert outcome.verdict == "look at it"
    assert any("left and right may be exchanged" in note.text for note in outcome.notes)
