"""What the portal may rely on, on a shared folder and in a bucket alike."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable

import pytest

from dss_datastore import layout
from dss_datastore.s3.bucket import PART_BYTES
from dss_portal.refusals import Refused
from support import datastores
from support.datastores import MB, Site, as_read, sent

ATTEMPTS = layout.attempt_dir(7, "")

site = datastores.site


async def test_a_file_is_seen_when_it_is_kept_and_not_before(site: Site) -> None:
    path, size_bytes = await site.portal.receive(7, "input", sent(b"ab", b"c"))
    await site.portal.send(path)
    with pytest.raises(FileNotFoundError):
        await site.content("a.nii")

    await site.portal.keep(path, "a.nii")

    assert size_bytes == 3
    assert await site.content("a.nii") == b"abc"


async def test_a_file_is_read_from_any_place(site: Site) -> None:
    content = bytes(range(256)) * 4096
    await site.kept("a.nii", content)

    with (await site.portal.file(7, "input", "a.nii")).open("rb") as file:
        file.seek(700_001)
        middle = file.read(10)
        file.seek(5)
        beginning = file.read(5)
        rest = file.read()

    assert (middle, beginning, rest) == (content[700_001:700_011], content[5:10], content[10:])


async def test_a_file_larger_than_one_part_arrives_as_it_was_sent(site: Site) -> None:
    content = hashlib.sha256(b"x").digest() * (PART_BYTES // 32 + 1000)

    await site.kept("a.nii", content)

    assert await site.content("a.nii") == content


async def test_a_file_replaces_that_of_its_name_and_its_stamp_changes(site: Site) -> None:
    await site.kept("a.nii", b"first")
    before = await site.portal.stamps(7, "input", ["a.nii"])

    await site.kept("a.nii", b"second")

    assert await site.content("a.nii") == b"second"
    assert await site.portal.stamps(7, "input", ["a.nii"]) != before
    assert len(site.names()) == 1


async def test_a_file_that_is_not_there_has_no_stamp(site: Site) -> None:
    with pytest.raises(Refused, match="has gone"):
        await site.portal.stamps(7, "input", ["a.nii"])


async def test_an_upload_that_breaks_off_leaves_nothing(site: Site) -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield b"x" * (3 * MB)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await site.portal.receive(7, "input", cut())

    assert site.names() == set()


async def test_a_file_that_is_not_kept_leaves_nothing(site: Site) -> None:
    path, _ = await site.portal.receive(7, "input", sent(b"abc"))
    await site.portal.send(path)

    site.portal.discard(path)

    await _eventually(lambda: site.names() == set())


async def test_a_file_that_is_replaced_while_it_is_read_is_never_mixed(site: Site) -> None:
    old, new = b"o" * (3 * MB), b"n" * (3 * MB)
    await site.kept("a.nii", old)
    file = (await site.portal.file(7, "input", "a.nii")).open("rb")
    found = file.read(MB)

    await site.kept("a.nii", new)
    file.seek(2 * MB)
    try:
        found += file.read()
    except OSError:
        found += b""
    file.close()

    assert set(found) == {ord("o")}


async def test_what_is_read_of_a_ticket_that_is_deleted_is_its_content_or_an_error(
    site: Site,
) -> None:
    content = bytes(range(256)) * (12 * 1024)
    await site.kept("a.nii", content)
    file = (await site.portal.file(7, "input", "a.nii")).open("rb")
    found = file.read(MB)

    await site.portal.remove_ticket(7)
    try:
        found += file.read()
    except OSError:
        found += b""
    file.close()

    assert content.startswith(found)
    assert site.names() == set()


async def test_results_are_published_together(site: Site) -> None:
    staged = site.staged("c1", seg=b"voxels", workspace=b"names")

    folder = await site.portal.publish_results(7, "c1", [("seg", 6), ("workspace", 5)], staged)

    assert await site.content(f"{folder}/seg", "results") == b"voxels"
    assert await site.content(f"{folder}/workspace", "results") == b"names"


async def test_publishing_twice_is_the_same_as_once(site: Site) -> None:
    staged = site.staged("c1", seg=b"voxels")

    first = await site.portal.publish_results(7, "c1", [("seg", 6)], staged)
    second = await site.portal.publish_results(7, "c1", [("seg", 6)], staged)

    assert first != second
    assert await site.content(f"{first}/seg", "results") == b"voxels"
    assert await site.content(f"{second}/seg", "results") == b"voxels"


@pytest.mark.parametrize("announced", [("seg", 7), ("other", 6), ("../results/seg", 6)])
async def test_incomplete_results_are_not_published(site: Site, announced: tuple[str, int]) -> None:
    staged = site.staged("c1", seg=b"voxels")

    with pytest.raises(FileNotFoundError):
        await site.portal.publish_results(7, "c1", [("seg", 6), announced], staged)

    assert not any(name.startswith(f"{ATTEMPTS}/") for name in site.names())


async def test_the_files_of_two_claims_are_never_mixed(site: Site) -> None:
    first = site.staged("c1", seg=b"first!", workspace=b"names 1")
    second = site.staged("c2", seg=b"second", workspace=b"names 2")
    expected = [("seg", 6), ("workspace", 7)]

    shown = await site.portal.publish_results(7, "c2", expected, second)
    late = await site.portal.publish_results(7, "c1", expected, first)
    await site.portal.remove_files(7, "results", [f"{late}/seg"])

    assert await site.content(f"{shown}/seg", "results") == b"second"
    assert await site.content(f"{shown}/workspace", "results") == b"names 2"


async def test_results_that_are_frozen_stay_when_an_upload_replaces_one(site: Site) -> None:
    for content in (b"first", b"later"):
        path, _ = await site.portal.receive(7, "results", sent(content))
        await site.portal.send(path)
        await site.portal.keep(path, "seg", layout.attempt_dir(7, "claim"))
        site.portal.discard(path)
        if content == b"first":
            frozen = await site.portal.freeze(7, "results", {"claim/seg": 5})

    assert await site.content(f"{frozen}/seg", "results") == b"first"
    assert await site.content("claim/seg", "results") == b"later"


async def test_leftovers_are_found_and_removed_and_nothing_else(site: Site) -> None:
    await site.kept("a.nii", b"shown")
    await site.kept("b.nii", b"of a transaction that was rolled back")
    site.staged("c1", seg=b"voxels")
    received, _ = await site.portal.receive_attachment(7, sent(b"text"))
    await site.portal.keep(received, "kept.txt")
    shown = {layout.area_dir(7, "input") / "a.nii", layout.attachments_dir(7) / "kept.txt"}
    assert await asyncio.to_thread(site.portal.has_leftovers, 7)

    await site.portal.remove_leftovers(7, as_read(shown))

    assert site.names() == {str(path) for path in shown}
    assert not await asyncio.to_thread(site.portal.has_leftovers, 7, shown)


async def test_a_deleted_ticket_leaves_nothing(site: Site) -> None:
    await site.kept("a.nii", b"x")
    await site.portal.begin_part(7, "p1", 3)
    await site.portal.add_to_part(7, "p1", 0, b"abc")
    site.staged("c1", seg=b"voxels")
    received, _ = await site.portal.receive_attachment(7, sent(b"text"))
    await site.portal.keep(received, "kept.txt")
    assert await asyncio.to_thread(site.portal.has_ticket, 7)

    await site.portal.remove_ticket(7)

    assert site.names() == set()
    assert not await asyncio.to_thread(site.portal.has_ticket, 7)


async def test_a_block_that_comes_again_after_a_portal_was_killed_changes_nothing(
    site: Site,
) -> None:
    await site.portal.begin_part(7, "p1", 8)
    await site.portal.add_to_part(7, "p1", 0, b"abc")
    await site.portal.add_to_part(7, "p1", 3, b"defgh")
    await site.portal.add_to_part(7, "p1", 3, b"de")

    await site.portal.add_to_part(7, "p1", 5, b"fgh")

    twin = await site.portal.copy_of_part(7, "p1", 8)
    assert await site.portal.part_sha256(7, "p1") == hashlib.sha256(b"abcdefgh").hexdigest()
    assert twin.read_bytes() == b"abcdefgh"
    site.portal.discard(twin)


async def test_a_part_that_was_removed_takes_no_block(site: Site) -> None:
    await site.portal.begin_part(7, "p1", 3)
    await site.portal.remove_part(7, "p1")

    with pytest.raises(FileNotFoundError):
        await site.portal.add_to_part(7, "p1", 0, b"abc")
    with pytest.raises(FileNotFoundError):
        await site.portal.copy_of_part(7, "p1", 0)
    assert site.names() == set()


async def test_a_part_of_another_size_is_no_file(site: Site) -> None:
    await site.portal.begin_part(7, "p1", 4)
    await site.portal.add_to_part(7, "p1", 0, b"abc")

    with pytest.raises(FileNotFoundError):
        await site.portal.copy_of_part(7, "p1", 4)


async def test_an_input_file_is_taken_and_stays(site: Site) -> None:
    await site.kept("a.itksnap", b"before")

    path = await site.portal.take_input(7, "a.itksnap")

    assert path.read_bytes() == b"before"
    path.unlink()
    path.write_bytes(b"after")
    site.portal.discard(path)
    assert await site.content("a.itksnap") == b"before"
    with pytest.raises(FileNotFoundError):
        await site.portal.take_input(7, "b.itksnap")


async def test_a_new_file_replaces_none(site: Site) -> None:
    await site.kept("a.nii.gz", b"another whose name begins alike")
    target = layout.input_dir(7, "") / "a.nii"
    for content, is_kept in ((b"first", True), (b"second", False)):
        path, _ = await site.portal.receive(7, "input", sent(content))
        try:
            await site.portal.keep_new(path, target)
            assert is_kept
        except FileExistsError:
            assert not is_kept
        site.portal.discard(path)

    assert await site.content("a.nii") == b"first"


async def _eventually(holds: Callable[[], bool]) -> None:
    for _ in range(3000):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it does not come to hold")
