"""Files of the datastore are complete or absent, and only one module writes them so."""

import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest

from conftest import CHECKOUT
from dss_datastore import volume, writing
from dss_datastore.space import disk_full, has_free, is_disk_full
from dss_datastore.writing import put_in_place, replacing, write

PROGRAMS = ("broker", "portal", "dispatch-consumers", "gpu-inference", "infra/dss_stack")
DATASTORE = CHECKOUT / "broker/dss_datastore"


class Broken(Exception):
    pass


def test_a_file_that_is_replaced_has_the_new_content_and_leaves_nothing_beside_it(
    tmp_path: Path,
) -> None:
    write(tmp_path / "a", b"old")

    write(tmp_path / "a", b"new")

    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"new")]


def test_a_file_whose_writing_breaks_off_is_as_before(tmp_path: Path) -> None:
    write(tmp_path / "a", b"old")

    with suppress(Broken), replacing(tmp_path / "a") as temporary:
        temporary.write_bytes(b"half")
        raise Broken

    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"old")]


def test_a_name_of_255_bytes_can_be_replaced(tmp_path: Path) -> None:
    write(tmp_path / ("a" * 255), b"")

    assert (tmp_path / ("a" * 255)).exists()


def test_a_secret_is_never_readable_by_others(tmp_path: Path) -> None:
    with replacing(tmp_path / "a", mode=0o600) as temporary:
        assert temporary.stat().st_mode & 0o777 == 0o600

    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_content_is_on_disk_before_its_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(writing, "sync", lambda path: done.append(f"sync {path.name}"))
    (tmp_path / "new").write_bytes(b"")

    put_in_place(tmp_path / "new", tmp_path / "a")

    assert done == ["sync new", f"sync {tmp_path.name}"]
    assert not (tmp_path / "new").exists()


def test_the_system_is_told_to_flush_the_file_and_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(os.fstat(handle).st_ino))

    write(tmp_path / "a", b"new")

    assert flushed == [(tmp_path / "a").stat().st_ino, tmp_path.stat().st_ino]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_or_a_share_of_it_without_space_is_full(code: int) -> None:
    assert is_disk_full(OSError(code, os.strerror(code)))
    assert is_disk_full(disk_full())


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), MemoryError(), RuntimeError("28")])
def test_other_errors_do_not_say_that_a_disk_is_full(error: Exception) -> None:
    assert not is_disk_full(error)


def test_a_volume_has_free_what_is_free(tmp_path: Path) -> None:
    assert has_free(tmp_path, 0)
    assert not has_free(tmp_path, 1 << 62)


@pytest.mark.parametrize("error", [volume.away(), OSError(errno.ESTALE, "stale")])
def test_a_volume_that_was_unmounted_is_away_not_full(error: OSError) -> None:
    assert volume.is_away(error)
    assert not is_disk_full(error)


@pytest.mark.parametrize("word", ["os.fsync(", "errno.ENOSPC", "errno.EDQUOT", "errno.ESTALE"])
def test_no_other_module_decides_what_is_on_disk_and_when_a_disk_is_full(word: str) -> None:
    sources = [path for folder in PROGRAMS for path in (CHECKOUT / folder).rglob("*.py")]

    found = {path for path in sources if word in path.read_text(encoding="utf-8")}

    assert {path.parent for path in found} == {DATASTORE}
