"""The archive of a ticket's results, as other programs read it, whole and in parts."""

import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dss_portal.web import zip_archive
from dss_portal.web.zip_archive import Archive, ArchiveMember, FileChanged

AT = datetime(2026, 11, 29, 12, 34, 56, tzinfo=UTC)
CONTENTS = {
    "a/lungs.nii.gz": b"voxels" * 1000,
    "a/Ümläut 1.itksnap": b"<registry/>",
    "a/empty": b"",
}


async def _bytes(archive: Archive, first: int = 0, stop: int | None = None) -> bytes:
    return b"".join([piece async for piece in archive.read(first, stop)])


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    members = []
    for number, (name, content) in enumerate(CONTENTS.items()):
        path = tmp_path / str(number)
        path.write_bytes(content)
        members.append(ArchiveMember(name=name, file=path, size_bytes=len(content), changed_at=AT))
    return Archive(members)


def _check(whole: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(whole)) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == CONTENTS
        assert found.infolist()[0].date_time == (2026, 11, 29, 12, 34, 56)


async def test_other_programs_read_it_and_its_length_is_known_before(archive: Archive) -> None:
    whole = await _bytes(archive)

    _check(whole)
    assert len(whole) == archive.size_bytes


async def test_every_part_is_that_of_the_whole(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zip_archive, "BLOCK_BYTES", 1000)
    whole = await _bytes(archive)

    for first in range(0, len(whole), 97):
        for length in (1, 96, 3001, len(whole)):
            stop = min(first + length, len(whole))
            assert await _bytes(archive, first, stop) == whole[first:stop], (first, stop)


@pytest.mark.parametrize("limit", [100, 6050])
async def test_sizes_and_places_beyond_the_old_limit_are_written_as_zip64(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """The fields keep their width; what is as large as ``limit`` is treated as if it were 4 GB."""
    monkeypatch.setattr(zip_archive, "_is_large", lambda *numbers: max(numbers) >= limit)

    whole = await _bytes(archive)

    _check(whole)
    assert len(whole) == archive.size_bytes
    assert b"PK\6\6" in whole


@pytest.mark.parametrize("content", [b"", b"more than there was" * 1000])
async def test_a_file_that_has_changed_breaks_it_off(
    archive: Archive, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "0").write_bytes(content)

    with pytest.raises(FileChanged):
        await _bytes(archive)
