"""What a batch consists of: nothing that was named is left out without a word, and names are unique."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dss_client.batch_items import items_of
from dss_client.batch_journal import Journal
from dss_client.errors import ImageUnreadable
from support.builders import image, write_image
from support.dicom_series import stack, write

DAMAGED = b"PK\x03\x04 no archive"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a DICOM series and an image."""
    write(tmp_path / "study", stack(5))
    write_image(tmp_path / "head.nii.gz", image())
    return tmp_path


def found(*sources: Path) -> set[tuple[str, str]]:
    return {(item.name, item.source.name) for item in items_of(sources, each=True)}


def test_images_and_series_below_a_folder_are_items(folder: Path) -> None:
    assert {name for _, name in found(folder)} == {"head.nii.gz", folder.name}


def test_a_damaged_archive_is_an_item_and_keeps_no_series_from_being_sent(folder: Path) -> None:
    (folder / "broken.zip").write_bytes(DAMAGED)

    assert {name for _, name in found(folder)} == {"head.nii.gz", "study", "broken.zip"}


def test_a_damaged_archive_among_slices_is_told_by_the_folder(folder: Path) -> None:
    (folder / "study" / "broken.zip").write_bytes(DAMAGED)

    assert {name for _, name in found(folder)} == {"head.nii.gz", "study", "broken.zip"}


def test_endings_count_in_any_case(folder: Path) -> None:
    (folder / "head.nii.gz").rename(folder / "HEAD.NII.GZ")

    assert ("HEAD", "HEAD.NII.GZ") in found(folder)


def test_what_was_named_and_holds_no_image_is_an_item_beside_others(folder: Path) -> None:
    (folder / "empty").mkdir()

    assert ("empty", "empty") in found(folder / "study", folder / "empty")
    with pytest.raises(ImageUnreadable, match="There is no image in what was named"):
        items_of([folder / "empty"], each=True)


def test_names_are_unique_whatever_the_files_are_called(tmp_path: Path) -> None:
    sources = []
    for place in ("x/a.nii", "y/a.nii", "z/a_1.nii", "v/a_1.mha", "w/a_2.nii"):
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).touch()
        sources.append(tmp_path / place)

    names = [item.name for item in items_of(sources, each=False)]

    assert len(set(names)) == len(names) == 5


def test_a_folder_that_cannot_be_opened_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for missing rights, because rights do not stop root."""
    closed = folder / "closed"
    closed.mkdir()
    scan = os.scandir

    def refusing(path: str) -> object:
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", refusing)

    with pytest.raises(ImageUnreadable, match="closed cannot be opened: Permission denied"):
        items_of([folder], each=True)


def test_series_are_read_by_their_uid_since_numbers_may_change(tmp_path: Path) -> None:
    for uid in ("1.2.5", "1.2.6"):
        tags = {"SeriesInstanceUID": uid, "SeriesNumber": 3}
        write(tmp_path / uid, [replace(p, tags=tags) for p in stack(4)])

    items = items_of([tmp_path], each=True)

    assert [(item.series, item.uid) for item in items] == [("1", "1.2.5"), ("2", "1.2.6")]


def test_a_link_back_to_its_folder_adds_nothing(folder: Path) -> None:
    """A damaged archive has the folder looked through part by part; each image was sent 41 times."""
    (folder / "broken.zip").write_bytes(DAMAGED)
    (folder / "loop").symlink_to(".")
    (folder / "study" / "up").symlink_to("..")
    (folder / "self.nii.gz").symlink_to("self.nii.gz")

    items = items_of([folder], each=True)

    assert sorted(item.source.name for item in items) == ["broken.zip", "head.nii.gz", "study"]


def test_a_file_is_one_item_even_if_links_lead_to_it(folder: Path) -> None:
    (folder / "again.nii.gz").symlink_to("head.nii.gz")

    assert len([item for item in items_of([folder], each=True) if not item.series]) == 1


def test_scan_9_comes_before_scan_10(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        write_image(tmp_path / f"scan{number}.nii.gz", image())

    assert [i.name for i in items_of([tmp_path], each=True)] == ["scan1", "scan9", "scan10"]


def test_files_of_the_same_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    """Running numbers did not fit: "ct_2" lay in the folder "10"."""
    sources = [tmp_path / n / "ct.nii.gz" for n in ("1", "10", "2")]
    for source in sources:
        source.parent.mkdir()
        source.touch()

    assert [i.name for i in items_of(sources, each=False)] == ["1_ct", "10_ct", "2_ct"]


def test_series_are_called_after_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, uid in (("P001/CT", "1.2.5"), ("P002", "1.2.6")):
        tags = {"SeriesInstanceUID": uid}
        write(tmp_path / "scans" / place, [replace(p, tags=tags) for p in stack(4)])
    monkeypatch.chdir(tmp_path)

    names = [item.name for item in items_of([Path("scans")], each=True)]

    assert names == ["P001_CT_series_1", "P002_series_2"]


def test_a_name_too_long_for_a_folder_goes_without_folders(tmp_path: Path) -> None:
    sources = [tmp_path / (letter * 150) / f"{'c' * 100}.nii" for letter in "ab"]
    for source in sources:
        source.parent.mkdir()
        source.touch()

    names = [item.name for item in items_of(sources, each=False)]

    assert names == [f"{'c' * 100}_1", f"{'c' * 100}_2"]


def test_an_image_keeps_the_name_of_an_earlier_run(tmp_path: Path) -> None:
    sources = [tmp_path / n / "ct.nii.gz" for n in "ab"]
    for source in sources:
        source.parent.mkdir()
        source.touch()
    first = items_of(sources[:1], each=False)
    journal = Journal(tmp_path / "study", server="http://x")
    first[0].ticket, first[0].status = 5, "success"
    journal.write(first)

    both = items_of(sources, each=False)
    journal.recall(both)

    assert [(i.name, i.ticket) for i in both] == [("ct", 5), ("b_ct", 0)]


def test_one_file_is_counted_as_one_and_a_table_of_an_earlier_version_is_understood(
    folder: Path,
) -> None:
    items = items_of([folder / "head.nii.gz"], each=False)
    items[0].ticket, items[0].status = 7, "success"
    journal = Journal(folder / "out", server="http://a")
    journal.write(items)
    table = folder / "out/results.csv"
    assert ',"1 file, ' in table.read_text(encoding="utf-8")
    table.write_text(table.read_text(encoding="utf-8").replace("1 file, ", "1 files, "))

    again = items_of([folder / "head.nii.gz"], each=False)

    assert Journal(folder / "out", server="http://a").recall(again) == []
    assert (again[0].ticket, again[0].status) == (7, "success")
