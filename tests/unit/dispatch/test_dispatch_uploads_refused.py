# mypy: allow-untyped-calls
"""Uploads of a browser that are refused with a sentence, and leave nothing."""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.messages import NeededTag, UploadedImage, UploadRefused
from dss_dispatch.uploads.errors import UploadInvalid
from dss_dispatch.uploads.folders import unpack
from dss_dispatch.uploads.handling import ReadLimits
from dss_dispatch.uploads.reading import LONGEST_SENTENCE, plain
from support import dicom_series
from support.builders import LayerSpec, WorkspaceSpec, image, workspace_xml, write_image
from support.dicom_uploads import tarred
from support.upload_sites import TAGS, UploadSite

GB = 2**30


@pytest.fixture
def site(tmp_path: Path) -> Iterator[UploadSite]:
    made = UploadSite(tmp_path / "datastore")
    yield made
    made.close()


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
        (hostile_tar(_member("/".join(["x" * 250] * 20), size=1), b"x"), "name of a file"),
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


def test_of_a_refused_upload_nothing_stays_but_the_answer(site: UploadSite) -> None:
    (site.upload / "main.tar").write_bytes(hostile_tar(_member("pipe", type=tarfile.FIFOTYPE)))

    told = site.answer("main.tar")

    assert isinstance(told, UploadRefused)
    assert {p.name for p in site.root.rglob("*") if p.is_file()} == {"main.tar", "outcome.json"}


def test_a_header_cannot_name_another_file_of_the_machine(site: UploadSite, tmp_path: Path) -> None:
    write_image(tmp_path / "secret.mhd", image())
    text = (tmp_path / "secret.mhd").read_text().replace("secret.raw", str(tmp_path / "secret.raw"))
    (site.upload / "main.mhd").write_text(text)

    told = site.answer("main.mhd")

    assert isinstance(told, UploadRefused)
    assert str(tmp_path) not in told.reason


def test_what_no_image_can_be_read_from_gets_a_sentence(site: UploadSite) -> None:
    (site.upload / "letter.nii").write_text("Dear colleague")

    told = site.answer("letter.nii")

    assert isinstance(told, UploadRefused)
    assert told.reason.endswith(".")


@pytest.mark.parametrize(
    ("tag", "content", "sentence"),
    [
        ("", b"", "There is no DICOM image in the zip; it holds the file readme.txt, which is not"),
        (
            "PT",
            b"",
            "There is no DICOM image in the zip; it holds the file readme.txt, which is not",
        ),
        ("", b"Dear colleague", "The archive is damaged (File is not a zip file)"),
    ],
)
def test_a_sentence_about_a_zip_does_not_use_our_name_of_it(
    site: UploadSite, tag: str, content: bytes, sentence: str
) -> None:
    with zipfile.ZipFile(site.upload / "f1.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    if content:
        (site.upload / "f1.zip").write_bytes(content)
    write_image(site.upload / "f0.nii", image())
    images = [UploadedImage(name="f1.zip", tag=tag)] + [UploadedImage(name="f0.nii")] * bool(tag)

    tags = (*TAGS, NeededTag(name="PT", type="OverlayImage"))
    told = site.answer_to(site.request(*images, tags=tags))

    assert isinstance(told, UploadRefused)
    assert sentence in told.reason
    assert "image" not in told.reason.replace("DICOM image", "").replace("an image of", "")


def test_reading_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    site = UploadSite(tmp_path, ReadLimits(time_s=0.0, memory_bytes=8 * GB))
    write_image(site.upload / "main.nii", image())
    try:
        told = site.answer("main.nii")
    finally:
        site.close()

    assert isinstance(told, UploadRefused)
    assert "longer than 0 seconds" in told.reason


def test_an_image_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    site = UploadSite(tmp_path, ReadLimits(time_s=120, memory_bytes=2 * GB))
    header = sitk.Image([1, 1, 1], sitk.sitkFloat64)
    sitk.WriteImage(header, str(site.upload / "main.mha"))
    with (site.upload / "main.mha").open("r+b") as file:
        begun = file.read().replace(b"DimSize = 1 1 1", b"DimSize = 1024 1024 512")
        file.seek(0)
        file.write(begun)
        file.truncate(len(begun) - 8 + 4 * GB)  # a sparse file
    try:
        told = site.answer("main.mha")
    finally:
        site.close()

    assert isinstance(told, UploadRefused)
    assert "more memory" in told.reason


@pytest.mark.parametrize("name", ["main.itksnap", "main.ITKSNAP", "main.tar"])
def test_a_workspace_cannot_name_files_of_the_machine(
    site: UploadSite, tmp_path: Path, name: str
) -> None:
    secret = write_image(tmp_path / "secret.nii.gz", image())
    layer = LayerSpec(file_name=secret.name, folder=str(secret.parent))
    workspace = workspace_xml(WorkspaceSpec(layers=(layer,)))
    packed = hostile_tar(_member("case.itksnap", size=len(workspace)), workspace)
    (site.upload / name).write_bytes(packed if name.endswith(".tar") else workspace)

    told = site.answer(name)

    assert isinstance(told, UploadRefused)
    assert str(tmp_path) not in told.reason
    assert "workspace" in told.reason


def test_a_name_that_is_not_text_gets_a_sentence(site: UploadSite) -> None:
    packed = hostile_tar(_member("\udcff.dcm", size=9000), b"x" * 9000)
    (site.upload / "main.tar").write_bytes(packed)

    told = site.answer("main.tar")

    assert isinstance(told, UploadRefused)
    assert "unexpected error" not in told.reason


def test_a_workspace_of_a_tag_cannot_name_files_of_the_machine(site: UploadSite) -> None:
    write_image(site.upload / "main.nii", image())
    (site.upload / "pet.itksnap").write_bytes(workspace_xml())
    images = UploadedImage(name="main.nii"), UploadedImage(name="pet.itksnap", tag="PET")

    told = site.answer_to(site.request(*images, tags=(NeededTag(name="PET", type="OverlayImage"),)))

    assert isinstance(told, UploadRefused)
    assert "workspace" in told.reason


def _series(folder: Path, count: int, description: str) -> bytes:
    for number in range(1, count + 1):
        tags = {"SeriesInstanceUID": f"1.2.3.{number}", "SeriesNumber": number}
        tags |= {"SeriesDescription": description}
        planes = dicom_series.stack(4, size=(8, 8), tags=tags)
        dicom_series.write(folder, [replace(one, name=f"{number}{one.name}") for one in planes])
    return tarred(folder)


@pytest.fixture(scope="module")
def many_series(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return _series(tmp_path_factory.mktemp("many") / "study", 110, "THORAX")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("series", "sentence"),
    [
        ("each", "There are 110 images and series; at most 100 become tickets at once."),
        ("", "110 series have 4 slices each; choose one."),
        ("ask", "There are 110 series; the first 100 are listed; choose one."),
    ],
)
def test_more_series_than_one_answer_can_name_get_a_sentence(
    site: UploadSite, many_series: bytes, series: str, sentence: str
) -> None:
    (site.upload / "main.tar").write_bytes(many_series)

    told = site.answer("main.tar", series=series)

    assert isinstance(told, UploadRefused)
    assert told.reason.startswith(sentence)
    assert len(told.series) in {0, 100}


@pytest.mark.filterwarnings("ignore:.*exceeds the maximum length:UserWarning")
def test_a_text_in_a_file_that_no_page_can_hold_is_shown_without_that(
    site: UploadSite, tmp_path: Path
) -> None:
    hostile = "THO\0RAX\x1b[31m <b>" + "x" * 50_000
    (site.upload / "main.tar").write_bytes(_series(tmp_path / "study", 2, hostile))

    told = site.answer("main.tar", series="ask")

    assert isinstance(told, UploadRefused)
    assert [len(found.line) <= 120 for found in told.series] == [True, True]
    assert all(found.line.isprintable() and "THO RAX" in found.line for found in told.series)


def test_a_long_name_in_a_sentence_is_cut() -> None:
    found = plain("x" * 100_000 + "\udcff\0", LONGEST_SENTENCE)

    assert (len(found), found[-1]) == (LONGEST_SENTENCE, "…")
    assert plain("a\udcff\0b\nc", 10) == "a? b\nc"


def test_a_folder_without_an_image_gets_a_sentence_when_each_series_is_wanted(
    site: UploadSite,
) -> None:
    (site.upload / "main.tar").write_bytes(
        hostile_tar(_member("a/letter.txt", size=4), b"Dear")[:1024]
        + hostile_tar(_member("a/other.txt", size=4), b"Dear")
    )

    told = site.answer("main.tar", series="each")

    assert isinstance(told, UploadRefused)
    assert "DICOM" in told.reason
