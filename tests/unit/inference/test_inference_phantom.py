# mypy: allow-untyped-calls
"""The phantom is what it says: the same person in any grid, with the truth beside it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.device.runner import Runner
from dss_inference.errors import InferenceError
from dss_phantom.chest import Phantom, PhantomSpec, make_phantom
from dss_phantom.files import write_phantom
from support.builders import grid_of

pytestmark = pytest.mark.slow

COARSE = PhantomSpec(size=(48, 36, 39), spacing_mm=(8.0, 8.0, 8.0))


def test_a_seed_makes_the_same_chest_each_time(runner: Runner) -> None:
    first, second = make_phantom(COARSE, runner), make_phantom(COARSE, runner)

    assert np.array_equal(sitk.GetArrayFromImage(first.ct), sitk.GetArrayFromImage(second.ct))


def test_another_seed_makes_another_chest(runner: Runner) -> None:
    other = make_phantom(replace(COARSE, seed=2), runner)

    assert other.left_ml != make_phantom(COARSE, runner).left_ml


def test_the_truth_lies_in_the_grid_of_the_ct(chest: Phantom) -> None:
    assert grid_of(chest.truth) == grid_of(chest.ct)


def test_the_left_lung_lies_on_the_left(chest: Phantom) -> None:
    truth = sitk.GetArrayFromImage(chest.truth)

    assert np.nonzero(truth == 1)[2].mean() > np.nonzero(truth == 2)[2].mean()


@pytest.mark.parametrize("orientation", ["RAS", "PIR", "ASL"])
def test_volumes_do_not_depend_on_the_orientation(runner: Runner, orientation: str) -> None:
    straight = make_phantom(replace(COARSE, size=(48, 48, 48)), runner)

    turned = make_phantom(replace(COARSE, size=(48, 48, 48), orientation=orientation), runner)

    assert turned.left_ml == pytest.approx(straight.left_ml, rel=0.001)
    assert turned.right_ml == pytest.approx(straight.right_ml, rel=0.001)


def test_an_oblique_grid_shows_the_same_volumes(runner: Runner) -> None:
    cube = replace(COARSE, size=(56, 56, 56))

    tilted = make_phantom(replace(cube, oblique_deg=20), runner)

    assert tilted.left_ml == pytest.approx(make_phantom(cube, runner).left_ml, rel=0.01)


def test_size_spacing_and_origin_are_those_asked_for(runner: Runner) -> None:
    spec = replace(COARSE, origin_mm=(-10.5, 20.25, -700.0))

    made = grid_of(make_phantom(spec, runner).ct)

    assert (made.size, made.spacing_mm) == (spec.size, spec.spacing_mm)
    assert made.origin_mm == spec.origin_mm


@pytest.mark.parametrize("wrong", ["LRS", "LP", "XYZ", ""])
def test_an_orientation_that_is_none_is_refused(runner: Runner, wrong: str) -> None:
    with pytest.raises(InferenceError, match="is no orientation"):
        make_phantom(replace(COARSE, orientation=wrong), runner)


def test_the_volumes_on_disk_are_those_of_the_truth_on_disk(tmp_path: Path, chest: Phantom) -> None:
    write_phantom(chest, tmp_path)

    voxels = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "truth.nii.gz"))
    told = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))["labels"]
    counted = [round(float((voxels == v).sum()) * 0.064, 1) for v in (1, 2)]
    assert [label["volume_ml"] for label in told] == pytest.approx(counted, abs=0.11)
    assert [label["name"] for label in told] == ["left lung", "right lung"]
