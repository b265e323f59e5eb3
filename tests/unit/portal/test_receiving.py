"""A file that comes in pieces: written in blocks, whole, on disk before it is named, and closed by nobody too early."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dss_datastore import layout
from dss_portal import receiving
from dss_portal.datastore import Datastore
from dss_portal.datastore.pieces import Mark, Piece
from dss_portal.refusals import Refused

MB = 2**20


@pytest.fixture
def datastore(tmp_path: Path) -> Datastore:
    (tmp_path / "tickets").mkdir()
    return Datastore(tmp_path, 10 * MB)


async def sent(*pieces: Piece) -> AsyncIterator[Piece]:
    for piece in pieces:
        yield piece


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_what_comes_in_pieces_of_any_size_is_what_was_sent(datastore: Datastore) -> None:
    pieces = [os.urandom(size) for size in (0, 1, 65536, MB, 3 * MB + 7, 5)]

    path, size_bytes = await datastore.receive(1, "input", sent(*pieces))

    assert path.read_bytes() == b"".join(pieces)
    assert size_bytes == sum(map(len, pieces))


async def test_of_two_files_only_the_second_is_kept(datastore: Datastore) -> None:
    data = sent(b"a" * (3 * MB), Mark.AGAIN, b"b" * 10)

    path, size_bytes = await datastore.receive(1, "input", data)

    assert (path.read_bytes(), size_bytes) == (b"b" * 10, 10)


async def test_a_file_that_is_too_large_leaves_nothing(
    datastore: Datastore, tmp_path: Path
) -> None:
    with pytest.raises(Refused):
        await datastore.receive(1, "input", sent(*[b"x" * MB] * 11))

    assert files_in(tmp_path) == []


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """System calls that matter, in order, as they are begun."""
    found: list[str] = []

    def noted(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def noted_call(*args: object, **kwargs: object) -> object:
            found.append(name)
            return call(*args, **kwargs)

        return noted_call

    for name in ("fdatasync", "fsync", "replace", "rename"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    return found


async def test_a_large_file_is_on_its_way_to_the_disk_before_it_is_complete_and_on_it_before_it_is_named(
    datastore: Datastore, calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / layout.area_dir(1, "input")).mkdir(parents=True)
    monkeypatch.setattr(receiving, "SYNC_BYTES", 2 * MB)

    path, _ = await datastore.receive(1, "input", sent(*[b"x" * MB] * 8))
    await datastore.keep(path, "a.nii")

    assert calls.count("fdatasync") >= 1
    named = next(i for i, call in enumerate(calls) if call in {"replace", "rename"})
    assert "fsync" in calls[:named]
    assert "fdatasync" not in calls[calls.index("fsync") :]
    assert calls[named + 1 :] == ["fsync"]  # the folder


async def test_a_small_file_and_the_folders_made_for_it_are_on_disk_before_it_is_named(
    datastore: Datastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []

    def noted(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", noted)

    path, size_bytes = await datastore.receive(1, "input", sent(b"a", b"bc"))

    folder = tmp_path / layout.area_dir(1, "input")
    assert (path.read_bytes(), size_bytes) == (b"abc", 3)
    assert flushed == [path, folder.parent.parent, folder.parent]

    await datastore.keep(path, "a.nii")

    assert flushed[3:] == [path, folder]


async def test_a_large_file_s_folders_are_on_disk(
    datastore: Datastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(
        os,
        "fsync",
        lambda descriptor: flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink()),
    )

    await datastore.receive(1, "input", sent(*[b"x" * MB] * 3))

    assert {tmp_path / "tickets", tmp_path / layout.area_dir(1, "input").parent} < set(flushed)


async def test_an_error_of_the_disk_is_told_even_if_the_last_fsync_finds_none(
    datastore: Datastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells of it once."""

    def fails(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(receiving, "SYNC_BYTES", MB)
    monkeypatch.setattr(os, "fdatasync", fails)

    with pytest.raises(OSError, match="Input/output error"):
        await datastore.receive(1, "input", sent(*[b"x" * MB] * 4))


async def test_a_sender_that_goes_away_is_waited_for_by_the_thread_that_writes(
    datastore: Datastore, tmp_path: Path
) -> None:
    comes = asyncio.Event()

    async def cut() -> AsyncIterator[Piece]:
        yield b"x" * (2 * MB)
        comes.set()
        await asyncio.sleep(60)

    receiving_task = asyncio.create_task(datastore.receive(1, "input", cut()))
    await comes.wait()
    receiving_task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await receiving_task
    assert files_in(tmp_path) == []
