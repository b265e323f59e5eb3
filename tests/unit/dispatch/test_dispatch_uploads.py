# mypy: allow-untyped-calls
"""What becomes of an upload of a browser: the files that ``dss send`` would make, or a sentence."""

import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from dss_broker.broker import Delivery
from dss_broker.memory.broker import MemoryBroker
from dss_broker.memory.server import MemoryServer
from dss_broker.messages import (
    Message,
    NeededTag,
    ReadUpload,
    UploadedImage,
    UploadRead,
    UploadRefused,
)
from dss_broker.topology import PORTAL_EVENTS, UPLOADS
from dss_dispatch.uploads.errors import UploadInvalid
from dss_dispatch.uploads.folders import unpack
from dss_dispatch.uploads.handling import READS, Limits, UploadReader
from dss_submission.images import write_layer
from dss_workspace.layers import layers
from dss_workspace.registry import read
from support import dicom_series
from support.builders import image, write_image
from support.dicom_uploads import write_two_series
from support.waiting import wait_until

TAGS = (NeededTag(name="CT", type="MainImage", required=True),)
GB = 2**30


class Desk:
    """A portal and a program that reads uploads, with a datastore."""

    def __init__(self, root: Path, limits: Limits = READS) -> None:
        self.root = root
        self.upload = root / "tickets" / "00000007" / "input"
        self.upload.mkdir(parents=True)
        server = MemoryServer()
        self.portal, self.broker = MemoryBroker(server), MemoryBroker(server)
        self.told: list[Message] = []
        self.stopping = threading.Event()
        self.portal.consume(PORTAL_EVENTS, self._hear)
        self.reader = UploadReader(self.broker, root, limits, "reader-1", self.stopping)
        self.broker.consume(UPLOADS, self.reader.handle)

    def _hear(self, delivery: Delivery) -> None:
        self.told.append(delivery.message)

    def close(self) -> None:
        self.stopping.set()
        self.portal.close()
        self.broker.close()

    def request(self, *images: UploadedImage, **changes: Any) -> ReadUpload:
        made = ReadUpload(
            ticket_id=7,
            intake_id="one",
            upload_dir="tickets/00000007/input",
            images=images,
            tags=TAGS,
        )
        return replace(made, **changes)

    def answer(self, *names: str, **changes: Any) -> UploadRead | UploadRefused:
        """What is told of a request for these files, the first of them the main image."""
        images = [UploadedImage(name=name) for name in names]
        return self.answer_to(self.request(*images, **changes))

    def answer_to(self, request: ReadUpload) -> UploadRead | UploadRefused:
        before = len(self.told)
        self.portal.publish(request).result(10)
        wait_until(lambda: len(self.told) > before, 120)
        told = self.told[-1]
        assert isinstance(told, UploadRead | UploadRefused)
        return told

    def folder(self, told: UploadRead | UploadRefused, number: int = 0) -> Path:
        assert isinstance(told, UploadRead), told
        return self.root / told.images[number].folder


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


def hostile_tar(member: tarfile.TarInfo, data: bytes = b"") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def _member(name: str, **changes: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for key, value in changes.items():
        setattr(made, key, value)
    return made


@pytest.mark.parametrize(
    ("packed", "sentence"),
    [
        (hostile_tar(_member("../out.dcm", size=1), b"x"), "name of a file"),
        (hostile_tar(_member("/etc/out.dcm", size=1), b"x"), "name of a file"),
        (hostile_tar(_member("a/../../out", size=1), b"x"), "name of a file"),
        (hostile_tar(_member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd")), "a link"),
        (hostile_tar(_member("hard", type=tarfile.LNKTYPE, linkname="/etc/passwd")), "a link"),
        (hostile_tar(_member("pipe", type=tarfile.FIFOTYPE)), "a link or a device"),
        (hostile_tar(_member("cut.dcm", size=9000), b"x" * 9000)[:5000], "damaged"),
        (b"", "damaged"),
        (b"Dear colleague, " * 1000, "damaged"),
    ],
)
def test_a_hostile_or_damaged_folder_is_refused(
    tmp_path: Path, packed: bytes, sentence: str
) -> None:
    (tmp_path / "main.tar").write_bytes(packed)

    with pytest.raises(UploadInvalid, match=sentence):
        unpack(tmp_path / "main.tar", tmp_path / "folder")

    assert {p.name for p in tmp_path.iterdir()} == {"main.tar", "folder"}


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    first, second = hostile_tar(_member("a", size=1), b"x"), hostile_tar(_member("a", size=1), b"y")
    (tmp_path / "main.tar").write_bytes(first[:1024] + second)

    with pytest.raises(UploadInvalid, match="same name"):
        unpack(tmp_path / "main.tar", tmp_path / "folder")


def test_of_a_refused_upload_nothing_stays_but_the_answer(desk: Desk) -> None:
    (desk.upload / "main.tar").write_bytes(hostile_tar(_member("pipe", type=tarfile.FIFOTYPE)))

    told = desk.answer("main.tar")

    assert isinstance(told, UploadRefused)
    assert {p.name for p in desk.root.rglob("*") if p.is_file()} == {"main.tar", "outcome.json"}


def test_a_header_cannot_name_another_file_of_the_machine(desk: Desk, tmp_path: Path) -> None:
    write_image(tmp_path / "secret.mhd", image())
    text = (tmp_path / "secret.mhd").read_text().replace("secret.raw", str(tmp_path / "secret.raw"))
    (desk.upload / "main.mhd").write_text(text)

    told = desk.answer("main.mhd")

    assert isinstance(told, UploadRefused)
    assert str(tmp_path) not in told.reason


def test_what_no_image_can_be_read_from_gets_a_sentence(desk: Desk) -> None:
    (desk.upload / "letter.nii").write_text("Dear colleague")

    told = desk.answer("letter.nii")

    assert isinstance(told, UploadRefused)
    assert told.reason.endswith(".")


def test_reading_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Limits(time_s=0.0, memory_bytes=8 * GB))
    write_image(desk.upload / "main.nii", image())
    try:
        told = desk.answer("main.nii")
    finally:
        desk.close()

    assert isinstance(told, UploadRefused)
    assert "longer than 0 seconds" in told.reason


def test_an_image_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Limits(time_s=120, memory_bytes=2 * GB))
    header = sitk.Image([1, 1, 1], sitk.sitkFloat64)
    sitk.WriteImage(header, str(desk.upload / "main.mha"))
    with (desk.upload / "main.mha").open("r+b") as file:
        begun = file.read().replace(b"DimSize = 1 1 1", b"DimSize = 1024 1024 512")
        file.seek(0)
        file.write(begun)
        file.truncate(len(begun) - 8 + 4 * GB)  # a sparse file
    try:
        told = desk.answer("main.mha")
    finally:
        desk.close()

    assert isinstance(told, UploadRefused)
    assert "more memory" in told.reason
