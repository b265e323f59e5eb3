# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Results of functions lie exactly in the grid of their image, whatever format that has."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_images.grid import difference
from dss_images.reading import read_header
from dss_provider.images import suffix_for, write_in_grid
from support.builders import write_image


def turned(seed: int, time_points: int) -> sitk.Image:
    """An image in a random oblique grid, in double precision."""
    random = np.random.default_rng(seed)
    count = 3 if time_points == 1 else 4
    built = sitk.Image([5, 6, 7, time_points][:count], sitk.sitkInt16)
    axes = np.eye(count)
    axis = (float(n) for n in random.normal(size=3))
    turn = sitk.VersorTransform(tuple(axis), float(random.uniform(0, np.pi)))
    axes[:3, :3] = np.reshape(turn.GetMatrix(), (3, 3))
    built.SetDirection(axes.ravel().tolist())
    built.SetSpacing([*random.uniform(0.4, 5, 3).tolist(), 1.0][:count])
    built.SetOrigin([*random.uniform(-300, 300, 3).tolist(), 0.0][:count])
    return built


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("time_points", [1, 2])
def test_a_result_lies_in_the_grid_of_an_oblique_image(
    suffix: str, time_points: int, tmp_path: Path
) -> None:
    for seed in range(30):
        like = write_image(tmp_path / f"ct{suffix}", turned(seed, time_points))
        path = tmp_path / f"result{suffix_for(like)}"

        write_in_grid(np.ones((7, 6, 5), np.uint8), like, path)

        grids = (read_header(file).grid.volume for file in (path, like))
        assert difference(*grids) == ""


def test_a_result_lies_in_the_grid_of_a_nifti_2_image(tmp_path: Path) -> None:
    like = tmp_path / "ct.nii.gz"
    image = nibabel.Nifti2Image(np.zeros((5, 6, 7), np.int16), np.diag([0.7, 0.8, 0.9, 1]))
    nibabel.save(image, like)
    path = tmp_path / f"result{suffix_for(like)}"

    write_in_grid(np.ones((7, 6, 5), np.uint8), like, path)

    assert difference(read_header(path).grid.volume, read_header(like).grid.volume) == ""
