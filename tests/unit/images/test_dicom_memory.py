# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""The tags of a folder with many series are read once, and again after any change of its files."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from dss_client.batch_items import items_of
from dss_images.dicom.files import File
from dss_images.dicom.header import read_header
from dss_images.dicom.reading import read, survey
from dss_images.dicom.scan_cache import one_scan_per_source
from support.dicom_reading import refusal
from support.dicom_series import stack, write

SERIES = 6


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for number in range(1, SERIES + 1):
        tags = {"SeriesInstanceUID": f"1.2.{number}", "SeriesNumber": number}
        write(tmp_path / "study" / str(number), [replace(p, tags=tags) for p in stack(4)])
    return tmp_path / "study"


@pytest.fixture
def headers(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose tags are read."""
    found: list[Path] = []

    def read_one(file: File) -> object:
        found.append(file.path)
        return read_header(file)

    monkeypatch.setattr("dss_images.dicom.series.read_header", read_one)
    return found


def test_the_tags_of_each_file_are_read_once_for_all_series(
    study: Path, headers: list[Path]
) -> None:
    with one_scan_per_source():
        items = items_of([study], each=True)
        found = [read(item.source, item.series).series.number for item in items]

    assert found == [1, 2, 3, 4, 5, 6]
    assert len(headers) == len(set(headers)) == 4 * SERIES


def test_a_change_of_the_folder_is_noticed(study: Path) -> None:
    with one_scan_per_source():
        read(study, "1")
        sorted((study / "1").iterdir())[1].unlink()

        assert "1 slice between" in refusal(study, "1")


def test_a_slice_that_is_replaced_is_read_again(study: Path) -> None:
    with one_scan_per_source():
        before = read(study, "2").image.GetSpacing()
        tags = {"SeriesInstanceUID": "1.2.2", "SeriesNumber": 2}
        write(
            study / "2",
            [replace(p, tags=tags, spacing=(0.5, 0.5)) for p in stack(4)],
        )
        after = read(study, "2").image.GetSpacing()

    assert before != after


def test_an_archive_is_unpacked_once_and_removed(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, headers: list[Path]
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in study.rglob("*.*"):
            packed.write(path, path.relative_to(study))

    with one_scan_per_source():
        for number in range(1, SERIES + 1):
            read(archive, str(number))
        assert len(list((tmp_path / "temporary").iterdir())) == 1

    assert len(headers) == 4 * SERIES
    assert not list((tmp_path / "temporary").iterdir())


def test_without_the_block_nothing_is_kept(study: Path, headers: list[Path]) -> None:
    survey(study)
    survey(study)

    assert len(headers) == 2 * 4 * SERIES
