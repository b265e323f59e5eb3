"""Of a folder that is sent with --each, the files without a ticket are named."""

from pathlib import Path
from zipfile import ZipFile

import pytest

from dss_client.batch_items import items_of
from dss_client.errors import ImageUnreadable
from dss_submission.left_out import LeftOut, left_out
from support.builders import image, write_image
from support.dicom_series import stack, write

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an image, a DICOM series and a picture."""
    write_image(tmp_path / "scan.nii.gz", image())
    write(tmp_path / "study", stack(5))
    (tmp_path / "pic.png").write_bytes(PNG)
    return tmp_path


def test_a_picture_is_named_and_images_are_not(folder: Path) -> None:
    (folder / "fake.nii.gz").write_bytes(PNG)

    assert left_out([folder]).sentences() == [
        "1 file is not sent, since it is no image of NIfTI, NRRD, MetaImage or DICOM: pic.png."
    ]


def test_an_archive_without_dicom_is_named_and_one_with_dicom_is_not(folder: Path) -> None:
    with ZipFile(folder / "papers.zip", "w") as packed:
        packed.writestr("report.txt", "Dear colleague")
    with ZipFile(folder / "study.zip", "w") as packed:
        packed.writestr("report.txt", "Dear colleague")
        packed.write(next((folder / "study").iterdir()), "slice")
    with ZipFile(folder / "outer.zip", "w") as packed:
        packed.write(folder / "study.zip", "inner/study.zip")
    ZipFile(folder / "empty.zip", "w").close()
    (folder / "damaged.zip").write_bytes(PNG)

    assert {path.name for path in left_out([folder]).foreign} == {
        "pic.png",
        "papers.zip",
        "empty.zip",
    }


def test_a_folder_of_pictures_alone_is_refused_with_their_names(tmp_path: Path) -> None:
    (tmp_path / "pic.png").write_bytes(PNG)

    with pytest.raises(ImageUnreadable, match=r"NRRD, MetaImage or DICOM: pic\.png"):
        items_of([tmp_path], each=True)


def test_of_many_files_ten_are_named_and_the_others_counted(folder: Path) -> None:
    for number in range(11):
        (folder / f"photo{number}.jpg").touch()

    (told,) = left_out([folder]).sentences()

    assert told.startswith("12 files are not sent, since they are no images")
    assert told.endswith("photo9.jpg and 2 others.")


@pytest.mark.parametrize(
    "name", ["README", "readme.txt", "Thumbs.db", ".hidden", "DICOMDIR", "results.csv"]
)
def test_files_that_lie_beside_images_are_counted_in_one_sentence(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).touch()

    found = left_out([tmp_path])

    assert found == LeftOut(usual=(tmp_path / name,))
    assert found.sentences() == ["1 file is left out (README, .txt, DICOMDIR and the like)."]


def test_voxels_of_a_header_are_sent_with_it_and_named_without(tmp_path: Path) -> None:
    for name in ("a/ct.mhd", "a/ct.raw", "b/ct.raw", "b/ct.img"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert {path.parent.name for path in left_out([tmp_path]).foreign} == {"b"}


def test_a_workspace_is_named_since_each_takes_none(tmp_path: Path) -> None:
    (tmp_path / "case.itksnap").touch()

    (told,) = left_out([tmp_path]).sentences()

    assert told.endswith("send it by its name: case.itksnap.")
