# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""MetaImages that ITK has saved from other formats are read, whatever keys it has put into them."""

from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_dispatch.ticket_images import read_header
from dss_inference.ct.reading import read_ct
from support.bad_images import good


@pytest.mark.parametrize("source", ["ct.nii", "ct.nii.gz", "ct.nrrd"])
@pytest.mark.parametrize("packed", [True, False])
def test_keys_that_itk_has_taken_over_are_no_damage(
    tmp_path: Path, source: str, packed: bool
) -> None:
    sitk.WriteImage(good(), tmp_path / source)
    path = tmp_path / "again.mha"
    sitk.WriteImage(sitk.ReadImage(tmp_path / source), path, useCompression=packed)
    assert b"ITK_original_spacing" in path.read_bytes()

    assert read_header(path).size == good().GetSize()
    assert read_ct(path).hu.shape == good().GetSize()[::-1]


@pytest.mark.parametrize(
    "line",
    [
        b"pixdim[1] = 0.75\n",
        b"NRRD_measurement frame = 1 0 0\n",
        b"Institution = Universit\xc3\xa4t\n",
        b"0020|0032 = 1\\2\\3\n",
        b"Empty = \n",
    ],
)
def test_keys_of_nobody_are_no_damage(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "ct.mha"
    sitk.WriteImage(good(), path)
    path.write_bytes(path.read_bytes().replace(b"NDims = 3\n", b"NDims = 3\n" + line))

    assert read_header(path).size == good().GetSize()
    assert read_ct(path).hu.shape == good().GetSize()[::-1]


@pytest.mark.parametrize("packed", [True, False])
def test_an_nrrd_that_itk_has_saved_from_a_nifti_is_no_nifti(tmp_path: Path, packed: bool) -> None:
    """It has the keys of one, ``bitpix`` among them."""
    sitk.WriteImage(good(), tmp_path / "ct.nii")
    path = tmp_path / "again.nrrd"
    sitk.WriteImage(sitk.ReadImage(tmp_path / "ct.nii"), path, useCompression=packed)
    assert b"bitpix" in path.read_bytes()

    assert read_header(path).size == good().GetSize()
    assert read_ct(path).hu.shape == good().GetSize()[::-1]
