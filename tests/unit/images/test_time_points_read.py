"""One time point of a 4-D image, and the sentence about one that the image does not have."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_images.errors import ImageRefused
from dss_images.reading import frame_of, read_header


def written(folder: Path, frames: int) -> Path:
    """An image whose voxels are the number of their time point, from 1."""
    array = np.ones((frames, 3, 4, 5), np.int16) * np.arange(1, frames + 1).reshape(-1, 1, 1, 1)
    series = array.astype(np.int16) if frames > 1 else array[0].astype(np.int16)
    path = folder / "series.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(series, isVector=False), str(path))
    return path


def test_a_time_point_is_read_by_its_number(tmp_path: Path) -> None:
    header = read_header(written(tmp_path, frames=3))

    assert [set(frame_of(header, number).ravel()) for number in (1, 2, 3)] == [{1}, {2}, {3}]


@pytest.mark.parametrize("number", [-1, 0, 4])
def test_the_refusal_of_a_missing_time_point_says_how_many_there_are(
    tmp_path: Path, number: int
) -> None:
    header = read_header(written(tmp_path, frames=3))

    with pytest.raises(ImageRefused) as refused:
        frame_of(header, number)

    assert str(refused.value) == (
        f"The image has 3 time points, and none with the number {number}; a number from 1 to 3 is needed."
    )


def test_a_volume_has_one_time_point(tmp_path: Path) -> None:
    header = read_header(written(tmp_path, frames=1))

    assert set(frame_of(header, 1).ravel()) == {1}
    with pytest.raises(
        ImageRefused, match="has 1 time point, and none with the number 2; 1 is needed"
    ):
        frame_of(header, 2)
