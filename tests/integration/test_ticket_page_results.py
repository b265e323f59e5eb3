"""What the page of a finished ticket shows and hands out."""

import io
import re
import zipfile

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.models import Attachment, Ticket
from support.portals import (
    Portal,
    submitted_ticket,
    text,
)
from support.ticket_pages import MARKUP, finished_ticket, log, succeed

pytestmark = pytest.mark.stack


@pytest.fixture
async def done(portal: Portal, ann: Client) -> int:
    return await finished_ticket(portal, ann)


async def test_the_result_is_what_one_sees_first(ann: Client, done: int) -> None:
    page = await text(ann, f"/tickets/{done}")

    assert re.search(r'<h2 id="results">Results <span class="badge look">look at it</span>', page)
    assert "<li>The lungs are at the border.</li>" in page
    assert re.search(r'<img src="/blobs/[0-9a-f]{32}"\s+alt="The picture.png">', page)
    assert 'fill="#549be0"' in page
    assert ">2176</td>" in page
    assert "none found" in page
    assert page.index("<img") < page.index('id="log"')


async def test_texts_and_tables_are_shown_in_the_page_and_markup_never_is(
    ann: Client, done: int
) -> None:
    page = await text(ann, f"/tickets/{done}")

    assert '<th scope="col">what</th>' in page
    assert "<td>&lt;i&gt;x&lt;/i&gt;</td>" in page
    assert "<pre>A &amp; B</pre>" in page
    assert "&lt;b&gt;right&lt;/b&gt;" in page
    assert "window.ran" not in page
    assert page.count("<img") == 1


async def test_each_picture_is_shown_and_the_last_one_first(portal: Portal, ann: Client) -> None:
    number = await submitted_ticket(ann)
    granted = await portal.granted(number)
    for name in ("curve.png", "planes.png"):
        await log(portal, granted, name, b"\x89PNG", "image/png")

    await succeed(portal, granted)

    page = await text(ann, f"/tickets/{number}")
    assert re.findall(r'<img src="/blobs/[0-9a-f]{32}"\s+alt="The ([a-z.]+)">', page) == [
        "planes.png",
        "curve.png",
    ]
    assert "<summary>The curve.png</summary>" in page


async def test_a_strangers_script_is_text_and_his_page_is_in_a_sandbox(
    portal: Portal, ann: Client, done: int
) -> None:
    page = await text(ann, f"/tickets/{done}")
    links = dict(re.findall(r'href="(/blobs/[0-9a-f]{32})">The ([a-z]+\.[a-z]+)</a>', page))
    types = {}
    for path, name in links.items():
        answer = await portal.app.test_client().get(path)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
        types[name] = answer.headers["Content-Type"]

    assert types["script.js"] == "text/plain"
    assert types["page.html"] == "text/html"
    api = await ann.get(f"/api/tickets/{done}/files/results/0")
    assert api.headers["X-Content-Type-Options"] == "nosniff"


async def test_one_download_has_the_workspace_with_its_files(ann: Client, done: int) -> None:
    answer = await ann.get(f"/tickets/{done}/download")
    whole = await answer.get_data(as_text=False)

    assert answer.headers["Content-Length"] == str(len(whole))
    with zipfile.ZipFile(io.BytesIO(whole)) as found:
        names = [f"ticket_{done:08d}/a.itksnap", f"ticket_{done:08d}/lungs.nii.gz"]
        assert found.namelist() == names
        assert found.read(names[1]) == b"voxels" * 100


async def test_a_download_goes_on_where_it_was_cut_off(ann: Client, done: int) -> None:
    whole = await ann.get(f"/tickets/{done}/download")
    tag = whole.headers["ETag"]
    everything = await whole.get_data(as_text=False)

    rest = await ann.get(
        f"/tickets/{done}/download", headers={"Range": "bytes=200-", "If-Range": tag}
    )
    other = await ann.get(
        f"/tickets/{done}/download", headers={"Range": "bytes=200-", "If-Range": '"other"'}
    )
    beyond = await ann.get(f"/tickets/{done}/download", headers={"Range": "bytes=99999-"})

    size = int(whole.headers["Content-Length"])
    assert (rest.status_code, rest.headers["Content-Range"]) == (
        206,
        f"bytes 200-{size - 1}/{size}",
    )
    assert everything[:200] + await rest.get_data(as_text=False) == everything
    assert (other.status_code, await other.get_data()) == (200, everything)
    assert beyond.status_code == 416


async def test_the_volumes_are_a_table_for_a_spreadsheet(ann: Client, done: int) -> None:
    answer = await ann.get(f"/tickets/{done}/volumes.csv")

    assert answer.headers["Content-Type"] == "text/csv"
    rows = (await answer.get_data(as_text=True)).splitlines()
    assert rows == ["label,name,volume_ml", "1,left lung,2176.4", "2,<b>right</b>,0.0"]


async def test_the_viewer_says_what_is_wrong_with_a_workspace(ann: Client, done: int) -> None:
    page = await ann.get(f"/tickets/{done}")
    viewer = await ann.get(f"/tickets/{done}/view")

    shown = await viewer.get_data(as_text=True)
    assert "The workspace has no image layer" in shown
    assert f'href="/tickets/{done}/view"' in await page.get_data(as_text=True)


async def test_only_the_viewer_may_have_images_within_its_script(ann: Client, done: int) -> None:
    page = await ann.get(f"/tickets/{done}")
    viewer = await ann.get(f"/tickets/{done}/view")

    usual = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in usual
    assert "data:" not in usual
    assert viewer.headers["Content-Security-Policy"] == usual.replace(
        "img-src 'self'", "img-src 'self' data:"
    )


async def test_a_service_that_asks_for_it_gets_a_report_of_each_ticket_as_one_file(
    portal: Portal,
) -> None:
    await portal.announce_service(report="html")
    ann = await portal.user()
    number = await submitted_ticket(ann)
    await Ticket.filter(id=number).update(title="Jane Doe")
    granted = await portal.granted(number)
    await log(portal, granted, "picture.png", b"\x89PNG", "image/png")
    await log(portal, granted, "note.txt", MARKUP, "text/plain")

    await succeed(portal, granted, "good")

    (found,) = await Attachment.filter(ticket_id=number, mime_type="text/html")
    answer = await ann.get(f"/blobs/{found.public_id}")
    shown = await answer.get_data(as_text=True)
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert 'src="data:image/png;base64,iVBORw=="' in shown
    assert "left lung" in shown
    assert "&lt;b&gt;right&lt;/b&gt;" in shown
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert "Jane Doe" not in shown
    assert "<h2>The note.txt</h2>" in shown
    assert ">Report</a>" in await text(ann, f"/tickets/{number}")


async def test_a_service_that_does_not_ask_gets_no_report(ann: Client, done: int) -> None:
    assert not await Attachment.filter(ticket_id=done, description="Report").exists()
