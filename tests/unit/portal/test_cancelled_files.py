"""A request that is cancelled while a thread makes its file leaves no file: nothing would count it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dss_datastore.layout import area_dir
from dss_datastore.writing import link
from dss_portal.datastore import Datastore, parts, pieces, receiving
from dss_portal.scrubbing import files as scrubbing

TIMEOUT_S = 60


class Held:
    """``act``, whose thread waits before it until ``cancelled`` lets it go on."""

    def __init__(self, act: Callable[..., object]) -> None:
        self._act = act
        self._begun = threading.Event()
        self._goes_on = threading.Event()

    def __call__(self, *args: object) -> object:
        self._begun.set()
        assert self._goes_on.wait(TIMEOUT_S)
        return self._act(*args)

    async def cancelled(self, request: Awaitable[object]) -> None:
        """Cancel ``request`` while it waits for the thread; the thread ends after that."""
        task = asyncio.ensure_future(request)
        assert await asyncio.to_thread(self._begun.wait, TIMEOUT_S)
        task.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        self._goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture
def datastore(tmp_path: Path) -> Datastore:
    (tmp_path / "tickets").mkdir()
    return Datastore(tmp_path, 2**20)


async def threads_have_ended() -> None:
    await asyncio.get_running_loop().shutdown_default_executor()


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


async def test_a_small_file_is_not_written_after_its_request(
    datastore: Datastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whole() -> AsyncIterator[bytes]:
        yield b"abc"

    slow = Held(pieces.write_at_once)
    monkeypatch.setattr(receiving, "write_at_once", slow)

    await slow.cancelled(datastore.receive(1, "input", whole()))
    await threads_have_ended()

    assert files_in(tmp_path) == []


async def test_a_resumable_upload_is_not_linked_after_its_request(
    datastore: Datastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await datastore.begin_part(1, "p", 3)
    slow = Held(link)
    monkeypatch.setattr(parts, "link", slow)

    await slow.cancelled(datastore.copy_of_part(1, "p", 3))
    await threads_have_ended()

    assert files_in(tmp_path) == [".p.part"]


async def test_a_file_is_not_scrubbed_into_being_after_its_request(
    datastore: Datastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / area_dir(1, "input") / "received"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"abc")
    slow = Held(lambda scrubbed, _location: scrubbed.write_bytes(b"def"))
    monkeypatch.setattr(scrubbing, "_scrub", slow)
    threads = ThreadPoolExecutor(1)
    monkeypatch.setattr(scrubbing, "_THREADS", threads)

    async def request() -> None:
        try:
            await datastore.scrub(path, 1)
        finally:
            datastore.discard(path)

    await slow.cancelled(request())
    await asyncio.to_thread(threads.shutdown)

    assert files_in(tmp_path) == []


async def test_a_copy_that_fails_leaves_no_part(
    datastore: Datastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume without hard links that becomes full."""

    def fails(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    await datastore.begin_part(1, "p", 3)
    monkeypatch.setattr(parts, "link", fails)

    with pytest.raises(OSError, match="No space"):
        await datastore.copy_of_part(1, "p", 3)

    assert files_in(tmp_path) == [".p.part"]


async def test_the_folders_of_a_resumable_upload_are_on_disk(
    datastore: Datastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(parts, "sync", flushed.append)
    monkeypatch.setattr(pieces, "sync", flushed.append)

    await datastore.begin_part(1, "p", 3)

    folder = tmp_path / area_dir(1, "input")
    assert flushed == [tmp_path / "tickets", folder.parent, folder]
