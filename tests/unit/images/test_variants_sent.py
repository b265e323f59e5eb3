# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""What ``dss send`` makes of every variant of an image file: the same image, or one sentence."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_client.errors import ImageUnreadable
from dss_submission.images import write_layer
from support.accepted_images import ACCEPTED
from support.image_variants import AFFINE, VOXELS
from support.refused_images import REFUSED

sitk.ProcessObject.SetGlobalWarningDisplay(False)


def corners(affine: np.ndarray) -> np.ndarray:
    ends = np.array(np.meshgrid([0, 9], [0, 8], [0, 7])).reshape(3, -1)
    return np.asarray((affine[:3, :3] @ ends).T + affine[:3, 3])


def affine_of(image: sitk.Image) -> np.ndarray:
    found = np.eye(4)
    size = image.GetDimension()
    axes = np.array(image.GetDirection()).reshape(size, size)[:3, :3]
    found[:3, :3] = axes * image.GetSpacing()[:3]
    found[:3, 3] = image.GetOrigin()[:3]
    return found


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_accepted_image_is_sent_exactly(tmp_path: Path, name: str) -> None:
    variant = ACCEPTED[name]
    (tmp_path / "out").mkdir()
    path = variant.make(tmp_path)

    layer = sitk.ReadImage(str(write_layer(path, tmp_path / "out").path))

    voxels = sitk.GetArrayFromImage(layer)
    expected = VOXELS if variant.voxels is None else variant.voxels
    assert voxels.dtype == expected.dtype
    assert np.array_equal(voxels, expected)
    truth = corners(AFFINE if variant.affine is None else variant.affine)
    assert np.abs(corners(affine_of(layer)) - truth).max() < 1e-6 * np.abs(truth).max()


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_image_is_not_sent_and_the_sentence_says_why(tmp_path: Path, name: str) -> None:
    variant = REFUSED[name]
    (tmp_path / "out").mkdir()
    path = variant.make(tmp_path)

    with pytest.raises(ImageUnreadable) as refused:
        write_layer(path, tmp_path / "out")

    assert variant.refusal in str(refused.value)
    assert str(tmp_path) not in str(refused.value)
    assert list((tmp_path / "out").iterdir()) == []
