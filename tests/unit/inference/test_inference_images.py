# mypy: allow-untyped-calls
"""Which images are taken, and in which sentence the others are refused."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.ct.reading import read_ct
from dss_inference.ct.writing import write_segmentation
from dss_inference.errors import InferenceError
from support.builders import grid_of


def saved(folder: Path, image: sitk.Image, name: str = "ct.nii.gz") -> Path:
    sitk.WriteImage(image, folder / name)
    return folder / name


def ct(
    voxels: npt.NDArray[np.generic] | None = None, spacing_mm: tuple[float, ...] = (9.0, 9.0, 9.0)
) -> sitk.Image:
    if voxels is None:
        voxels = np.linspace(-1000, 100, 6 * 5 * 4).reshape(6, 5, 4).astype(np.int16)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing_mm)
    return image


def refusal(path: Path) -> str:
    with pytest.raises(InferenceError) as refused:
        read_ct(path)
    return str(refused.value)


def test_an_eight_bit_image_is_refused_as_no_hounsfield_units(tmp_path: Path) -> None:
    grey = np.arange(6 * 5 * 4, dtype=np.uint8).reshape(6, 5, 4)

    assert "go from 0 to 119; a CT in Hounsfield units" in refusal(saved(tmp_path, ct(grey)))


def test_a_normalised_image_is_refused_as_no_hounsfield_units(tmp_path: Path) -> None:
    unit = np.linspace(-1, 1, 6 * 5 * 4).reshape(6, 5, 4)

    assert "Hounsfield" in refusal(saved(tmp_path, ct(unit)))


def test_a_series_in_time_is_refused(tmp_path: Path) -> None:
    series = sitk.JoinSeries([ct(), ct()])

    assert refusal(saved(tmp_path, series)).startswith("The image has 2 time points; say which one")


def test_an_image_of_vectors_is_refused(tmp_path: Path) -> None:
    vectors = sitk.Compose([sitk.Cast(ct(), sitk.sitkFloat32)] * 3)

    assert refusal(saved(tmp_path, vectors, "ct.nrrd")).startswith("The image has 3 values")


def test_a_single_slice_is_refused(tmp_path: Path) -> None:
    flat = np.full((1, 50, 50), -500, np.int16)

    assert refusal(saved(tmp_path, ct(flat))).startswith("The image has 50 x 50 x 1 voxels")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["ct.nrrd", "ct.nii", "ct.nii.gz"])
def test_voxels_that_are_no_numbers_are_refused(tmp_path: Path, name: str, value: float) -> None:
    voxels = np.linspace(-1000, 100, 6 * 5 * 4).reshape(6, 5, 4).astype(np.float32)
    voxels[2, 2, 2] = value

    assert "not numbers" in refusal(saved(tmp_path, ct(voxels), name))


def test_a_file_that_is_no_image_is_refused_without_naming_its_place(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(b"not an image")

    assert refusal(path).startswith("The file is not a NIfTI file, whatever its name says")


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nii", "ct.nrrd", "ct.mha"])
def test_an_image_cut_short_is_refused(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(1).integers(-1000, 100, (40, 50, 50)).astype(np.int16)
    path = saved(tmp_path, ct(noise), name)
    path.write_bytes(path.read_bytes()[:20_000])

    assert "damaged" in refusal(path)


def test_a_spacing_in_metres_is_refused(tmp_path: Path) -> None:
    assert "check its spacing" in refusal(saved(tmp_path, ct(spacing_mm=(0.001, 0.001, 0.001))))


def test_a_floating_point_image_is_taken(tmp_path: Path) -> None:
    voxels = np.linspace(-1000, 100, 6 * 5 * 4).reshape(6, 5, 4).astype(np.float64)

    assert read_ct(saved(tmp_path, ct(voxels))).hu[0, 0, 0] == -1000


def test_padding_below_air_becomes_air(tmp_path: Path) -> None:
    voxels = np.full((6, 5, 4), -3024, np.int32)
    voxels[2] = 40

    assert read_ct(saved(tmp_path, ct(voxels))).hu.min() == -1024


def test_a_grid_that_nifti_would_round_is_kept_in_another_format(tmp_path: Path) -> None:
    fine = read_ct(saved(tmp_path, ct(spacing_mm=(9.1234567891, 9.0, 9.0)), "ct.nrrd"))

    written = write_segmentation(np.ones(fine.hu.shape, np.uint8), fine, tmp_path)

    assert written.suffix == ".nrrd"
    assert grid_of(sitk.ReadImage(written)).is_same_as(fine.grid)


def test_nothing_half_written_stays_behind(tmp_path: Path) -> None:
    fine = read_ct(saved(tmp_path, ct(spacing_mm=(9.1234567891, 9.0, 9.0)), "ct.nrrd"))

    write_segmentation(np.ones(fine.hu.shape, np.uint8), fine, tmp_path)

    assert {p.name for p in tmp_path.iterdir()} == {"ct.nrrd", "segmentation.nrrd"}
