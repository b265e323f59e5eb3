"""Small files are sent before the framework, to the byte as it would, and to nobody else."""

import pytest

from dss_portal.datastore.pieces import SMALL_BYTES
from support.layered import LUNGS, Both, shown
from support.portals import Portal, submitted_ticket

pytestmark = pytest.mark.stack

NAMES = ("a.bin", "é (1).bin", 'with "quotes".nii.gz', "empty.txt")


async def test_a_small_file_is_sent_as_by_the_framework(portal: Portal, both: Both) -> None:
    number = int((await both.layers.post("/api/tickets", **LUNGS)).text)
    for name in NAMES:
        data = b"" if name == "empty.txt" else name.encode() * 1000
        path = f"/api/tickets/{number}/files/input"
        await both.bare.client.post(path, files={"myfile": (name, data)})
    both.layers.framework.clear()

    for index in range(len(NAMES) - 1):
        path = f"/api/tickets/{number}/files/input/{index}"
        before, bare = [await who.client.get(path) for who in (both.layers, both.bare)]
        assert before.status_code == 200
        assert shown(before) == shown(bare)

    assert both.layers.framework == []


async def test_ranges_versions_and_large_files_are_left_to_the_framework(both: Both) -> None:
    number = int((await both.layers.post("/api/tickets", **LUNGS)).text)
    path = f"/api/tickets/{number}/files/input"
    for name, data in (("a.bin", b"0123456789"), ("large.bin", b"x" * (SMALL_BYTES + 1))):
        await both.bare.client.post(path, files={"myfile": (name, data)})
    tag = (await both.layers.client.get(f"{path}/0")).headers["etag"]
    both.layers.framework.clear()

    for index, headers in (
        (0, {"Range": "bytes=2-4", "If-Range": tag}),
        (0, {"If-None-Match": tag}),
        (1, {}),
        (2, {}),
    ):
        before, bare = [
            await who.client.get(f"{path}/{index}", headers=headers)
            for who in (both.layers, both.bare)
        ]
        assert shown(before) == shown(bare)
    assert len(both.layers.framework) == 4


async def test_files_of_others_and_of_deleted_tickets_are_refused(
    portal: Portal, both: Both
) -> None:
    others = await submitted_ticket(await portal.user("ann@example.com"))
    gone, lost = [int((await both.layers.post("/api/tickets", **LUNGS)).text) for _ in range(2)]
    for number in (gone, lost):
        path = f"/api/tickets/{number}/files/input"
        await both.layers.client.post(path, files={"myfile": ("a.bin", b"x")})
    await both.bare.client.get(f"/api/tickets/{gone}/delete")
    for file in portal.datastore.rglob("a.bin"):
        file.unlink()

    for number in (others, gone, lost, 99_999):
        path = f"/api/tickets/{number}/files/input/0"
        before, bare = [await who.client.get(path) for who in (both.layers, both.bare)]
        assert before.status_code == 400
        assert shown(before) == shown(bare)
