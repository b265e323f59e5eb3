# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""What becomes of the user's file before it is uploaded."""

import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_client.errors import ImageUnreadable
from dss_client.plain_nifti import copy_unchanged
from dss_submission.images import write_layer
from dss_submission.layer import Layer
from support.builders import OBLIQUE, ORIGIN_MM, SIZE, SPACING_MM, image, write_image


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def write_series(folder: Path, count: int, uid: str) -> None:
    """``count`` axial slices, 2 mm apart, whose values are 0, 1, 2, ... less 1000."""
    folder.mkdir(exist_ok=True)
    for place in range(count):
        tags = {
            "0020|000e": f"1.2.826.0.1.{uid}",
            "0020|000d": "1.2.826.0.1.99",
            "0008|0060": "CT",
            "0020|0013": str(place),
            "0020|0032": f"0\\0\\{2.0 * place}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0018|0050": "2",
            "0028|1052": "-1000",
            "0028|1053": "1",
        }
        built = sitk.Image([8, 6, 1], sitk.sitkInt16) + (place - 1000)
        for key, value in tags.items():
            built.SetMetaData(key, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{uid}_{place:03d}.dcm"))
        writer.Execute(built)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_pixel_type_and_grid_stay(tmp_path: Path, out: Path, suffix: str) -> None:
    source = write_image(tmp_path / f"scan{suffix}", image() - 1000)

    layer = sitk.ReadImage(str(write_layer(source, out).path))

    assert (layer.GetPixelID(), layer.GetSize()) == (sitk.sitkInt16, SIZE)
    assert np.allclose(layer.GetSpacing(), SPACING_MM)
    assert np.allclose(layer.GetOrigin(), ORIGIN_MM)
    assert np.allclose(layer.GetDirection(), OBLIQUE, atol=1e-6)
    assert int(sitk.GetArrayViewFromImage(layer).min()) == -1000


def test_the_name_is_that_of_itksnap_and_the_same_each_time(tmp_path: Path, out: Path) -> None:
    source = write_image(tmp_path / "scan.nrrd", image())

    first, second = write_layer(source, out), write_layer(source, out)

    assert re.fullmatch(r"layer_000_[0-9a-f]{32}\.nii\.gz", first.path.name)
    assert first == second


@pytest.mark.parametrize("write", [write_layer, copy_unchanged])
def test_equal_voxels_in_other_grids_have_other_names(
    tmp_path: Path, out: Path, write: Callable[[Path, Path], Layer]
) -> None:
    """The results of both images hold them, and may be kept in one folder."""
    shifted, below = image(), tmp_path / "other"
    shifted.SetOrigin([x + 75 for x in ORIGIN_MM])
    below.mkdir()

    first = write(write_image(tmp_path / "scan.nii", image()), out)
    other = write(write_image(tmp_path / "shifted.nii", shifted), below)

    assert first.path.name != other.path.name
    assert [path.name for path in out.iterdir()] == [first.path.name]


def test_texts_about_the_patient_stay_behind(tmp_path: Path, out: Path) -> None:
    built = image()
    built.SetMetaData("descrip", "SMITH JOHN")
    built.SetMetaData("aux_file", "SMITH")
    source = write_image(tmp_path / "scan.nii", built)

    layer = sitk.ReadImage(str(write_layer(source, out).path))

    assert b"SMITH" in source.read_bytes()
    assert not any("SMITH" in layer.GetMetaData(key) for key in layer.GetMetaDataKeys())


def test_a_dicom_folder_becomes_one_volume_in_hounsfield_units(tmp_path: Path, out: Path) -> None:
    write_series(tmp_path / "dicom", 5, "1")

    layer = write_layer(tmp_path / "dicom", out)

    volume = sitk.ReadImage(str(layer.path))
    assert (volume.GetSize(), volume.GetSpacing()) == ((8, 6, 5), (1.0, 1.0, 2.0))
    assert [volume[0, 0, z] for z in range(5)] == [-1000, -999, -998, -997, -996]


def test_of_several_series_that_with_most_slices_is_taken_and_named(
    tmp_path: Path, out: Path
) -> None:
    write_series(tmp_path / "dicom", 3, "1")
    write_series(tmp_path / "dicom" / "below", 4, "2")

    layer = write_layer(tmp_path / "dicom", out)

    assert layer.size == (8, 6, 4)
    assert layer.notes[0].text.startswith("DICOM series 2 (CT) of 4 slices")
    assert "Not part of this image: series 1 (CT, 3 slices)" in layer.notes[0].text


@pytest.mark.parametrize(
    ("names", "holds"),
    [
        (["readme.txt"], "it holds the file readme.txt, which is not DICOM. A series of DICOM"),
        (["a.nii", "b.txt"], "it holds 2 files that are not DICOM, such as a.nii. A series of"),
        ([], "it holds no file. A series of DICOM images is needed"),
    ],
)
def test_a_zip_without_dicom_is_refused_with_what_it_holds(
    tmp_path: Path, out: Path, names: list[str], holds: str
) -> None:
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for name in names:
            archive.writestr(name, "nothing")

    with pytest.raises(ImageUnreadable) as refused:
        write_layer(tmp_path / "study.zip", out)

    assert f"There is no DICOM image in study.zip; {holds}" in str(refused.value)


def test_one_slice_of_a_series_is_refused(tmp_path: Path, out: Path) -> None:
    write_series(tmp_path / "dicom", 1, "1")

    with pytest.raises(ImageUnreadable, match="give the folder of its series"):
        write_layer(tmp_path / "dicom" / "1_000.dcm", out)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("report.pdf", "is not an image of NIfTI, NRRD or MetaImage"),
        ("scan.nii.gz", "is not a NIfTI file, whatever its name says"),
        ("SCAN.NII", "is not a NIfTI file, whatever its name says"),
        ("scan.nrrd", "is not an NRRD file, whatever its name says"),
        ("scan.mha", "is not a MetaImage file, whatever its name says"),
    ],
)
@pytest.mark.parametrize("content", [b"not an image", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused(
    tmp_path: Path, out: Path, name: str, sentence: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ImageUnreadable, match=sentence):
        write_layer(tmp_path / name, out)


def test_a_pipe_or_a_device_is_not_said_to_be_missing(tmp_path: Path, out: Path) -> None:
    os.mkfifo(tmp_path / "scan.nii")

    with pytest.raises(ImageUnreadable, match=r"scan\.nii is neither a file nor a folder"):
        write_layer(tmp_path / "scan.nii", out)


def test_a_missing_file_is_told(tmp_path: Path, out: Path) -> None:
    with pytest.raises(ImageUnreadable, match=r"There is no file scan\.nii"):
        write_layer(tmp_path / "scan.nii", out)


def test_each_step_that_takes_seconds_is_told(tmp_path: Path) -> None:
    told: list[str] = []

    write_layer(write_image(tmp_path / "scan.nrrd", image()), tmp_path, stage=told.append)

    assert told == ["Compressing the image", "Checking what is to be sent"]


def test_a_picture_with_the_name_of_a_nifti_file_is_not_sent_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "fake.nii.gz").write_bytes(b"\x89PNG\r\n\x1a\n")

    with pytest.raises(ImageUnreadable, match="is not a NIfTI file, whatever its name says"):
        copy_unchanged(tmp_path / "fake.nii.gz", tmp_path)
