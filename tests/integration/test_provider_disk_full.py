"""A provider's disk fills up at any point of a ticket: the ticket fails with a sentence, the next one succeeds."""

import tempfile
from pathlib import Path

import pytest

from dss_provider.child import DISK_FULL
from support.disks import fill, make_room, small_disk
from support.one_ticket_portal import Works


@pytest.mark.parametrize("but_bytes", [0, 4096, 8192, 16384, 32768])
def test_a_full_disk_fails_the_ticket_and_the_next_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, but_bytes: int
) -> None:
    works = Works(tmp_path)
    large = "def segment(image):\n    return Result(segmentations=[image.array > 3], files={'a.txt': 'x' * 32768})"
    with small_disk(tmp_path / "disk", 4) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        fill(disk, but_bytes=but_bytes)
        assert works(large) == "failed"
        assert works.portal.lines[-1] == DISK_FULL

        make_room(disk)
        assert works() == "success"
