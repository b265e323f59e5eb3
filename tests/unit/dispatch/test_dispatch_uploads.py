# mypy: allow-untyped-calls
"""What becomes of an upload of a browser: the files that ``dss send`` would make, or a sentence."""

import fcntl
import io
import os
import subprocess
import sys
import tarfile
import termios
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.errors import TryAgainLater
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
from support.upload_sites import TAGS, UploadSite
from support.waiting import wait_until


@pytest.fixture
def site(tmp_path: Path) -> Iterator[UploadSite]:
    made = UploadSite(tmp_path / "datastore")
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
    site: UploadSite, tmp_path: Path, ending: str
) -> None:
    built = image()
    built[3, 4, 5] = 77
    write_image(site.upload / f"main{ending}", built)

    told = site.answer(f"main{ending}")

    like = expected(site.upload / f"main{ending}", tmp_path)
    folder = site.folder(told)
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
    site: UploadSite, tmp_path: Path, packed: str
) -> None:
    folder = dicom_series.write(tmp_path / "series", dicom_series.stack(8))
    if packed == "tar":
        tar(site.upload / "main.tar", {f"study/a/{n}": d for n, d in contents(folder).items()})
    else:
        with zipfile.ZipFile(site.upload / "main.zip", "w") as archive:
            for name, data in contents(folder).items():
                archive.writestr(name, data)

    told = site.answer(f"main.{packed}")

    assert expected(folder, tmp_path).name in {path.name for path in site.folder(told).iterdir()}


def test_an_image_of_several_files_is_read_from_its_header(
    site: UploadSite, tmp_path: Path
) -> None:
    write_image(tmp_path / "scan.mhd", image())
    tar(
        site.upload / "main.tar", {n: (tmp_path / n).read_bytes() for n in ("scan.raw", "scan.mhd")}
    )

    told = site.answer("main.tar")

    assert len(list(site.folder(told).iterdir())) == 2


def test_each_series_gets_files_of_its_own(site: UploadSite, tmp_path: Path) -> None:
    tar(site.upload / "main.tar", contents(write_two_series(tmp_path / "study")))

    told = site.answer("main.tar", series="each")

    assert isinstance(told, UploadRead)
    assert [one.series for one in told.images] == ["3", "9"]
    assert all(len(one.files) == 2 for one in told.images)


@pytest.mark.parametrize("wanted", ["", "ask"])
def test_series_that_no_rule_tells_apart_are_listed_for_the_user(
    site: UploadSite, tmp_path: Path, wanted: str
) -> None:
    tar(site.upload / "main.tar", contents(write_two_series(tmp_path / "study")))

    told = site.answer("main.tar", series=wanted)

    assert isinstance(told, UploadRefused)
    assert [one.word for one in told.series] == ["3", "9"]
    chosen = site.answer("main.tar", series="9", intake_id="two")
    assert isinstance(chosen, UploadRead)


def test_other_images_get_their_tags(site: UploadSite) -> None:
    write_image(site.upload / "main.nii", image())
    write_image(site.upload / "other.nrrd", image())
    tags = (*TAGS, NeededTag(name="PET", type="OverlayImage", required=True))
    images = (UploadedImage(name="main.nii"), UploadedImage(name="other.nrrd", tag="PET"))

    told = site.answer_to(site.request(*images, tags=tags))

    found = layers(read(site.folder(told) / "ticket_00000007.itksnap"))
    assert [layer.tags for layer in found] == [("CT",), ("PET",)]


def test_a_repeated_request_gets_the_same_answer_without_reading_again(site: UploadSite) -> None:
    write_image(site.upload / "main.nii", image())
    first = site.answer("main.nii")
    (site.upload / "main.nii").unlink()

    again = site.answer("main.nii")

    assert again == first


def test_an_upload_that_has_gone_gets_a_sentence_and_leaves_nothing(site: UploadSite) -> None:
    told = site.answer("gone.nii")

    assert isinstance(told, UploadRefused)
    assert told.reason == "The files of the upload have gone; send them again."
    assert {p.name for p in site.root.rglob("*") if p.is_file()} == set()


def test_while_the_datastore_is_away_no_upload_is_said_to_have_gone(site: UploadSite) -> None:
    write_image(site.upload / "main.nii", image())
    away, tickets = site.root / "away", site.root / "tickets"

    with site.reader._datastore.access() as files:
        tickets.rename(away)
        with pytest.raises(TryAgainLater):
            site.reader._answer(site.request(UploadedImage(name="main.nii")), files)


PARENT = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-m", "dss_dispatch.uploads.reading"]).pid, flush=True)
time.sleep(600)
"""


def test_the_reading_process_ends_with_a_dispatcher_that_is_killed() -> None:
    reads, writes = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=reads, stdout=subprocess.PIPE, encoding="utf-8"
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.write(writes, b" ")
        wait_until(lambda: fcntl.ioctl(reads, termios.FIONREAD, b"1234") == bytes(4), 60)
        parent.kill()

    wait_until(lambda: not _runs(child), 60)
    os.close(writes)
    os.close(reads)


def _runs(process: int) -> bool:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
