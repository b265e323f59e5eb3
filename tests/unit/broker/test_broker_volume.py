"""A mount point without its volume never comes to look like the datastore."""

from pathlib import Path

import pytest

from dss_datastore.layout import TICKETS
from dss_datastore.volume import is_there, make_folder


def test_a_folder_is_made_with_its_parents_and_may_be_there(tmp_path: Path) -> None:
    (tmp_path / TICKETS).mkdir()
    folder = tmp_path / TICKETS / "00000007" / "work" / "c1" / "inference"

    make_folder(folder)
    make_folder(folder)

    assert folder.is_dir()
    assert is_there(tmp_path)


def test_nobody_but_the_portal_makes_the_folder_of_tickets(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make_folder(tmp_path / TICKETS / "00000007" / "work")

    assert list(tmp_path.iterdir()) == []
    assert not is_there(tmp_path)
