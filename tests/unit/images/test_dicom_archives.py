# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Archives, links and directories in a DICOM folder."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dss_images.dicom.reading import read
from support.dicom_reading import notes, refusal
from support.dicom_series import (
    Plane,
    dataset,
    stack,
    write,
)
from support.dicom_truth import require_exact


def test_the_shadows_that_macos_leaves_are_no_slices(tmp_path: Path) -> None:
    planes = stack()
    write(tmp_path, planes)
    (tmp_path / f"._{planes[0].name}").write_bytes(b"\x00\x05\x16\x07" + bytes(100))

    require_exact(read(tmp_path).image, planes)


def test_an_archive_is_read_like_its_folder(tmp_path: Path) -> None:
    planes = stack()
    folder = write(tmp_path / "dicom", planes)
    archive = pack(tmp_path / "study.zip", sorted(folder.iterdir()))

    require_exact(read(archive).image, planes)


def test_an_archive_in_a_folder_is_read_too(tmp_path: Path) -> None:
    planes = stack()
    folder = write(tmp_path / "dicom", planes)
    (tmp_path / "in").mkdir()
    pack(tmp_path / "in" / "study.zip", sorted(folder.iterdir()))

    require_exact(read(tmp_path / "in").image, planes)


def pack(archive: Path, files: Sequence[Path]) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for file in files:
            opened.write(file, f"../../{file.name}")
    return archive


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path / "study.zip", sorted(write(tmp_path / "dicom", stack()).iterdir()))
    whole = bytearray(archive.read_bytes())
    whole[300] ^= 0xFF
    archive.write_bytes(whole)

    assert "The archive study.zip is damaged" in refusal(archive)


def test_an_archive_that_grows_too_large_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(tmp_path / "study.zip", sorted(write(tmp_path / "dicom", stack()).iterdir()))
    monkeypatch.setattr("dss_images.dicom.files.MOST_UNPACKED_BYTES", 10_000)

    assert "at most" in refusal(archive)


def test_archives_inside_an_archive_share_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = sorted(write(tmp_path / "dicom", stack()).iterdir())
    inner = [pack(tmp_path / f"inner{n}.zip", slices) for n in range(4)]
    size = sum(path.stat().st_size for path in slices)
    outer = pack(tmp_path / "study.zip", inner)
    monkeypatch.setattr("dss_images.dicom.files.MOST_UNPACKED_BYTES", 3 * size)

    assert "with other archives beside it" in refusal(outer)


def test_an_archive_of_nothing_but_zeros_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zeros").write_bytes(bytes(4_000_000))
    archive = pack(tmp_path / "study.zip", [tmp_path / "zeros"])
    monkeypatch.setattr("dss_images.dicom.files.HARMLESS_BYTES", 1_000_000)

    assert "would unpack to more than 200 times its size" in refusal(archive)


def test_links_are_followed_and_counted_once(tmp_path: Path) -> None:
    planes = stack()
    elsewhere = write(tmp_path / "elsewhere", planes)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "series").symlink_to(elsewhere)
    (folder / "again").symlink_to(elsewhere)
    (folder / "round").symlink_to(folder)

    volume = read(folder)

    require_exact(volume.image, planes)
    assert "copies" not in notes(volume)


def test_a_link_to_a_slice_that_is_not_there_is_refused(tmp_path: Path) -> None:
    planes = stack()
    write(tmp_path, planes)
    (tmp_path / planes[-1].name).unlink()
    (tmp_path / planes[-1].name).symlink_to("annex")

    assert f"{planes[-1].name} (is a link to a file that is not there)" in refusal(tmp_path)


def test_a_pipe_in_the_folder_is_not_waited_for(tmp_path: Path) -> None:
    planes = stack()
    write(tmp_path, planes)
    os.mkfifo(tmp_path / "CT.0099.dcm")

    require_exact(read(tmp_path).image, planes)


def test_a_slice_that_only_the_directory_knows_is_missed(tmp_path: Path) -> None:
    planes = stack()
    write(tmp_path, planes)
    write_directory(tmp_path, planes)
    require_exact(read(tmp_path / "DICOMDIR").image, planes)

    (tmp_path / planes[-1].name).unlink()

    assert (
        "The DICOMDIR lists 1 slice of the series that are not in the folder: InstanceNumber 20"
        in (refusal(tmp_path))
    )


def write_directory(folder: Path, planes: Sequence[Plane]) -> None:
    written = [dataset(one) for one in planes]
    records = [Dataset()]
    records[0].DirectoryRecordType = "SERIES"
    records[0].SeriesInstanceUID = written[0].SeriesInstanceUID
    for one in written:
        record = Dataset()
        record.DirectoryRecordType, record.InstanceNumber = "IMAGE", one.InstanceNumber
        record.ReferencedSOPInstanceUIDInFile = one.SOPInstanceUID
        records.append(record)
    directory, meta = Dataset(), FileMetaDataset()
    directory.DirectoryRecordSequence = records
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.1.3.10")
    meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = UID("1.2.8"), ExplicitVRLittleEndian
    directory.file_meta = meta
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
