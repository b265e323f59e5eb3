# mypy: allow-untyped-calls
"""What becomes of an upload of a browser: the files that ``dss send`` would make, or a sentence."""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from dss_broker.messages import (
    NeededTag,
    UploadedImage,
    UploadRead,
    UploadRefused,
)
from dss_submission.images import write_layer
from dss_workspace.layers import layers
from dss_workspace.registry import read
from support import dicom_series
from support.builders import image, write_image
from support.dicom_uploads import write_two_series
from support.upload_desks import TAGS, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "datastore")
    yield made
    made.close()


def tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def expected(source: Path, tmp_path: Path) -> Path:
    """What ``dss send`` would upload."""
    folder = tmp_path / "expected"
    folder.mkdir(exist_ok=True)
    return write_layer(source, folder).path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_an_image_becomes_what_dss_send_would_upload(
    desk: Desk, tmp_path: Path, ending: str
) -> None:
    built = image()
    built[3, 4, 5] = 77
    write_image(desk.upload / f"main{ending}", built)

    told = desk.answer(f"main{ending}")

    like = expected(desk.upload / f"main{ending}", tmp_path)
    folder = desk.folder(told)
    assert {path.name for path in folder.iterdir()} == {like.name, "ticket_00000007.itksnap"}
    assert np.array_equal(
        sitk.GetArrayFromImage(sitk.ReadImage(str(folder / like.name))),
        sitk.GetArrayFromImage(sitk.ReadImage(str(like))),
    )
    (layer,) = layers(read(folder / "ticket_00000007.itksnap"))
    assert (layer.file_name, layer.tags) == (like.name, ("CT",))
    assert isinstance(told, UploadRead)
    assert [f.size_bytes for f in told.images[0].files] == [
        (folder / f.name).stat().st_size for f in told.images[0].files
    ]


@pytest.mark.parametrize("packed", ["tar", "zip"])
def test_a_folder_or_an_archive_of_dicom_files_becomes_one_image(
    desk: Desk, tmp_path: Path, packed: str
) -> None:
    folder = dicom_series.write(tmp_path / "series", dicom_series.stack(8))
    if packed == "tar":
        tar(desk.upload / "main.tar", {f"study/a/{n}": d for n, d in contents(folder).items()})
    else:
        with zipfile.ZipFile(desk.upload / "main.zip", "w") as archive:
            for name, data in contents(folder).items():
                archive.writestr(name, data)

    told = desk.answer(f"main.{packed}")

    assert expected(folder, tmp_path).name in {path.name for path in desk.folder(told).iterdir()}


def test_an_image_of_several_files_is_read_from_its_header(desk: Desk, tmp_path: Path) -> None:
    write_image(tmp_path / "scan.mhd", image())
    tar(
        desk.upload / "main.tar", {n: (tmp_path / n).read_bytes() for n in ("scan.raw", "scan.mhd")}
    )

    told = desk.answer("main.tar")

    assert len(list(desk.folder(told).iterdir())) == 2


def test_each_series_gets_files_of_its_own(desk: Desk, tmp_path: Path) -> None:
    tar(desk.upload / "main.tar", contents(write_two_series(tmp_path / "study")))

    told = desk.answer("main.tar", series="each")

    assert isinstance(told, UploadRead)
    assert [one.series for one in told.images] == ["3", "9"]
    assert all(len(one.files) == 2 for one in told.images)


@pytest.mark.parametrize("wanted", ["", "ask"])
def test_series_that_no_rule_tells_apart_are_listed_for_the_user(
    desk: Desk, tmp_path: Path, wanted: str
) -> None:
    tar(desk.upload / "main.tar", contents(write_two_series(tmp_path / "study")))

    told = desk.answer("main.tar", series=wanted)

    assert isinstance(told, UploadRefused)
    assert [one.word for one in told.series] == ["3", "9"]
    chosen = desk.answer("main.tar", series="9", intake_id="two")
    assert isinstance(chosen, UploadRead)


def test_other_images_get_their_tags(desk: Desk) -> None:
    write_image(desk.upload / "main.nii", image())
    write_image(desk.upload / "other.nrrd", image())
    tags = (*TAGS, NeededTag(name="PET", type="OverlayImage", required=True))
    images = (UploadedImage(name="main.nii"), UploadedImage(name="other.nrrd", tag="PET"))

    told = desk.answer_to(desk.request(*images, tags=tags))

    found = layers(read(desk.folder(told) / "ticket_00000007.itksnap"))
    assert [layer.tags for layer in found] == [("CT",), ("PET",)]


def test_a_repeated_request_gets_the_same_answer_without_reading_again(desk: Desk) -> None:
    write_image(desk.upload / "main.nii", image())
    first = desk.answer("main.nii")
    (desk.upload / "main.nii").unlink()

    again = desk.answer("main.nii")

    assert again == first


def test_nobody_is_told_of_an_upload_that_has_gone(desk: Desk) -> None:
    desk.portal.publish(desk.request(UploadedImage(name="gone.nii"))).result(10)
    write_image(desk.upload / "main.nii", image())

    desk.answer("main.nii")

    assert len(desk.told) == 1
