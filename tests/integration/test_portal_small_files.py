"""Small files are kept before the framework, as it would, and refused by it."""

import asyncio
import gzip
import os
import random
from pathlib import Path
from typing import Any

import httpx
import pytest
from tortoise.connection import get_connection

from dss_datastore import layout
from dss_portal.app import served
from dss_portal.database.commits import Commit
from dss_portal.models import Ticket, TicketFile, Tier
from dss_portal.writes import answering
from support.builders import segmentation, write_image
from support.layered import LUNGS, Asked, Both, scope_of, shown
from support.portals import LONG_AGO, Portal, submitted_ticket

pytestmark = pytest.mark.stack


async def sent_file(who: Asked, number: int, data: bytes, name: str = "a.bin") -> httpx.Response:
    path = f"/api/tickets/{number}/files/input"
    return await who.client.post(path, files={"myfile": (name, data)})


async def test_a_small_file_needs_no_framework_and_replaces_its_namesake(
    portal: Portal, both: Both
) -> None:
    number = int((await both.layers.post("/api/tickets", **LUNGS)).text)
    data = random.Random(1).randbytes(1_000_000)
    answers = [await sent_file(both.layers, number, sent) for sent in (b"first", data, b"\r\n--x")]
    other = await sent_file(both.layers, number, data, "é (1).bin")

    assert both.layers.framework == []
    assert [answer.text for answer in (*answers, other)] == ["success"] * 4
    rows = await TicketFile.filter(ticket_id=number).order_by("index")
    stored = [portal.read(layout.file_path(number, "input", row.place)) for row in rows]
    assert stored == [b"\r\n--x", data]
    assert [(row.name, row.size_bytes) for row in rows] == [("a.bin", 5), ("é (1).bin", len(data))]
    assert shown(answers[0]) == shown(await sent_file(both.bare, number, b"x"))


async def test_what_identifies_the_sender_is_removed_from_a_small_file(
    portal: Portal, both: Both, tmp_path: Path
) -> None:
    image = write_image(tmp_path / "image.nii", segmentation((1,))).read_bytes()
    named = image[:148] + b"Doe, John".ljust(80, b"\0") + image[228:]
    number = int((await both.layers.post("/api/tickets", **LUNGS)).text)

    for name, data in (("i.nii", named), ("i.nii.gz", gzip.compress(named))):
        assert (await sent_file(both.layers, number, data, name)).text == "success"

    assert both.layers.framework == []
    folder = portal.datastore / layout.area_dir(number, "input")
    assert b"Doe" not in (folder / "i.nii").read_bytes()
    assert b"Doe" not in gzip.decompress((folder / "i.nii.gz").read_bytes())


async def test_small_files_are_refused_as_by_the_framework(portal: Portal, both: Both) -> None:
    own = await submitted_ticket(await portal.user("pro@example.com"))
    others = await submitted_ticket(await portal.user("ann@example.com"))
    fresh = int((await both.layers.post("/api/tickets", **LUNGS)).text)
    for number, name, data in (
        (own, "a.bin", b"x"),  # it is submitted
        (others, "a.bin", b"x"),
        (99_999, "a.bin", b"x"),
        (fresh, ".hidden", b"x"),
        (fresh, "con.", b""),
    ):
        before, bare = [
            await sent_file(who, number, data, name) for who in (both.layers, both.bare)
        ]
        assert shown(before) == shown(bare)
    assert len(both.layers.framework) == 5


async def test_a_small_file_without_room_is_refused_and_leaves_nothing(
    portal: Portal, both: Both
) -> None:
    number = int((await both.layers.post("/api/tickets", **LUNGS)).text)
    await Tier.all().update(max_stored_bytes=1000)

    refused = await sent_file(both.layers, number, b"x" * 1001)
    taken = await sent_file(both.layers, number, b"x" * 1000)
    full = await sent_file(both.layers, number, b"x", "b.bin")

    assert [answer.status_code for answer in (refused, taken, full)] == [413, 200, 413]
    assert "Delete some to make room" in full.text
    assert await TicketFile.filter(ticket_id=number).count() == 1
    folder = portal.datastore / layout.area_dir(number, "input")
    assert [path.name for path in folder.iterdir()] == ["a.bin"]
    assert both.layers.framework == [f"/api/tickets/{number}/files/input"] * 2


async def test_small_files_at_once_keep_to_the_quota(portal: Portal, both: Both) -> None:
    number = int((await both.layers.post("/api/tickets", **LUNGS)).text)
    await Tier.all().update(max_files=5)

    answers = await asyncio.gather(
        *(sent_file(both.layers, number, b"x", f"{i}.bin") for i in range(12))
    )

    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [413] * 7
    assert await TicketFile.filter(ticket_id=number).count() == 5
    folder = portal.datastore / layout.area_dir(number, "input")
    assert len(list(folder.iterdir())) == 5


async def test_a_quiet_ticket_is_counted_again_when_a_small_file_comes(both: Both) -> None:
    number = int((await both.layers.post("/api/tickets", **LUNGS)).text)
    await Ticket.filter(id=number).update(created_at=LONG_AGO)
    await Tier.all().update(max_tickets=1)
    other = await both.layers.post("/api/tickets", **LUNGS)

    answer = await sent_file(both.layers, number, b"x")

    assert other.status_code == 200
    assert answer.status_code == 400
    assert "Maximum allowed number of open tickets" in answer.text


async def test_a_ticket_that_is_deleted_while_a_small_file_comes_leaves_nothing(
    portal: Portal, both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "BODY_TIMEOUT_S", 60.0)
    number = int((await both.layers.post("/api/tickets", **LUNGS)).text)
    form = b'--b\r\nContent-Disposition: form-data; name="myfile"; filename="a.bin"\r\n\r\nx\r\n--b--\r\n'
    pieces, sent = [form[:9], form[9:]], []

    async def receive() -> dict[str, Any]:
        if not pieces:
            await asyncio.Event().wait()  # the client waits for its answer
        if len(pieces) == 1:
            assert (await both.bare.client.get(f"/api/tickets/{number}/delete")).text == "deleted"
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(event: Any) -> None:
        sent.append(event)

    headers = {
        "Host": "localhost",
        "Cookie": both.layers.client.headers["Cookie"],
        "Content-Type": "multipart/form-data; boundary=b",
        "Content-Length": str(len(form)),
    }
    layers: Any = served(portal.app)
    await layers(scope_of(f"/api/tickets/{number}/files/input", headers), receive, send)

    assert sent[0]["status"] == 400
    assert not (portal.datastore / layout.ticket_dir(number)).exists()


async def test_a_small_file_is_on_disk_before_the_commit_that_names_it(
    portal: Portal, both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = int((await both.layers.post("/api/tickets", **LUNGS)).text)
    folder = (portal.datastore / layout.area_dir(number, "input")).resolve()
    calls: list[str] = []
    fsync, link, end = os.fsync, os.link, Commit.end

    def watched_fsync(descriptor: int) -> None:
        fsync(descriptor)
        flushed = Path(f"/proc/self/fd/{descriptor}").readlink()
        calls.append("flush names" if flushed == folder else f"flush {flushed.suffix}")

    def watched_link(source: Path, target: Path, **how: bool) -> None:
        calls.append("name")
        link(source, target, **how)

    def watched_end(self: Commit, *, committed: bool) -> None:
        calls.append("commit" if committed else "roll back")
        end(self, committed=committed)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "link", watched_link)
    monkeypatch.setattr(Commit, "end", watched_end)
    answer = await sent_file(both.layers, number, b"voxels")

    assert answer.text == "success"
    assert both.layers.framework == []
    assert "flush .part" in calls[: calls.index("name")]
    assert calls[calls.index("name") :] == ["name", "flush names", "commit"]
    setting = await get_connection("default").execute_query_dict("SHOW synchronous_commit")
    assert setting == [{"synchronous_commit": "on"}]
