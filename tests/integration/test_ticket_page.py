"""What the page of a ticket tells its owner, and what it keeps from everybody else."""

import io
import re
import zipfile
from datetime import timedelta

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.messages import (
    AttachedFile,
    ClaimFailed,
    ClaimGranted,
    ClaimLogged,
    ClaimSucceeded,
    Label,
    ResultFile,
)
from dss_datastore import layout
from dss_portal.database import clock
from dss_portal.models import Attachment, Dispatcher, Service, Status, Ticket, TicketLabel
from dss_portal.tickets import deletions
from support.portals import (
    Portal,
    eventually,
    new_ticket,
    post,
    send_file,
    submitted_ticket,
    text,
)

pytestmark = pytest.mark.stack

LABELS = (
    Label(value=1, name="left lung", rgb=(84, 155, 224), volume_ml=2176.4),
    Label(value=2, name="<b>right</b>", rgb=(240, 146, 88), volume_ml=0.0),
)
NAMED = """<registry><folder key="Layers"><folder key="Layer[000]"><entry key="Role" value="MainRole"/>
<entry key="AbsolutePath" value="/a/layer.nii.gz"/><folder key="LayerMetaData">
<entry key="CustomNickName" value="Jane&#10;Doe &lt;u&gt;"/></folder></folder></folder></registry>"""
MARKUP = b"<script>window.ran=1</script><u>lines</u>"


@pytest.fixture
async def ann(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user()


async def _form(client: Client, path: str, **fields: str) -> int:
    """Post a form as the page that was just shown has it."""
    found = re.search(r'name="form_token" value="([^"]+)"', await text(client, "/token"))
    token = found[1] if found else await _token(client, path)
    return (await post(client, path, form_token=token, **fields))[0]


async def _token(client: Client, path: str) -> str:
    page = await text(client, path.rpartition("/")[0])
    found = re.search(r'name="form_token" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


async def _log(portal: Portal, granted: ClaimGranted, name: str, content: bytes, mime: str) -> None:
    """A line with a file that the dispatcher has left."""
    folder = portal.datastore / layout.attached_dir(granted.ticket_id, granted.claim_id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    file = AttachedFile(name=name, description=f"The {name}", mime_type=mime)
    await portal.tell(
        ClaimLogged(
            ticket_id=granted.ticket_id,
            claim_id=granted.claim_id,
            level="info",
            text=f"See {name}.",
            attachments=(file,),
        )
    )


async def _succeed(portal: Portal, granted: ClaimGranted, verdict: str = "") -> None:
    folder = portal.datastore / layout.staging_dir(granted.ticket_id, granted.claim_id)
    folder.mkdir(parents=True)
    contents = {"a.itksnap": b"<registry/>", "lungs.nii.gz": b"voxels" * 100}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    files = tuple(
        ResultFile(name=name, size_bytes=len(content), sha256="")
        for name, content in contents.items()
    )
    await portal.tell(
        ClaimSucceeded(
            ticket_id=granted.ticket_id,
            claim_id=granted.claim_id,
            files=files,
            labels=LABELS,
            verdict=verdict,
        )
    )
    await _is(granted.ticket_id, Status.SUCCESS)


async def _is(ticket_id: int, status: Status) -> None:
    await eventually(lambda: Ticket.get(id=ticket_id), lambda ticket: ticket.status is status)


@pytest.fixture
async def done(portal: Portal, ann: Client) -> int:
    """A ticket with results and everything that may be attached."""
    ticket_id = await submitted_ticket(ann)
    granted = await portal.granted(ticket_id)
    await _log(portal, granted, "picture.png", b"\x89PNG", "image/png")
    await _log(portal, granted, "found.csv", b"number,what\n1,<i>x</i>\n", "text/csv")
    await _log(portal, granted, "quality.txt", b"A & B", "text/plain")
    await _log(portal, granted, "page.html", MARKUP, "text/html")
    await _log(portal, granted, "drawing.svg", b"<svg>" + MARKUP + b"</svg>", "image/svg+xml")
    await _log(portal, granted, "script.js", b"window.ran=1", "text/javascript")
    await portal.tell(
        ClaimLogged(
            ticket_id=granted.ticket_id,
            claim_id=granted.claim_id,
            level="warning",
            text="The lungs are at the border.",
        )
    )
    await _succeed(portal, granted, "look at it")
    return ticket_id


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


async def test_a_retried_ticket_shows_nothing_of_the_attempt_before(
    portal: Portal, ann: Client, done: int
) -> None:
    await Ticket.filter(id=done).update(status=Status.FAILED)

    assert await _form(ann, f"/tickets/{done}/retry") == 303

    assert await TicketLabel.filter(ticket_id=done).count() == 0
    assert (await Ticket.get(id=done)).verdict == ""
    assert "look at it" not in await text(ann, f"/tickets/{done}")


async def test_why_it_failed_is_said_on_the_page_and_in_the_list(
    portal: Portal, ann: Client
) -> None:
    ticket_id = await submitted_ticket(ann)
    granted = await portal.granted(ticket_id)
    reason = "The image has 4 dimensions; 3 are needed."
    await portal.tell(ClaimFailed(ticket_id=ticket_id, claim_id=granted.claim_id, reason=reason))
    await _is(ticket_id, Status.FAILED)

    assert f'<p class="error">{reason}</p>' in await text(ann, f"/tickets/{ticket_id}")
    assert f'<small class="why">{reason}</small>' in await text(ann, "/tickets")
    assert f'<small class="why">{reason}</small>' in await text(ann, "/")


async def test_a_ticket_that_waits_says_where_and_for_whom(portal: Portal, ann: Client) -> None:
    first, second = await submitted_ticket(ann), await submitted_ticket(ann)

    page = await text(ann, f"/tickets/{second}")

    assert "Place 2 in the queue. Before this ticket comes 1 of your own." in page
    assert re.search(r'<li class="now" aria-current="step"><b>Waiting</b>', page)
    assert "Place 1 in the queue. This ticket is the next." in await text(ann, f"/tickets/{first}")


async def test_nobody_serves_it_is_said_before_anything_is_submitted(
    portal: Portal, ann: Client
) -> None:
    ticket_id = await new_ticket(ann)
    await portal.announce_service(name="another")
    await Dispatcher.filter(service="lung-segmentation").update(ended=True)
    await Service.all().update(heard_at=clock.now() - timedelta(hours=1))

    sentence = "Nobody serves this at present"
    assert sentence in await text(ann, f"/tickets/{ticket_id}")
    catalogue = await text(ann, "/services")
    assert catalogue.index(">another ") < catalogue.index(">lung-segmentation ")
    assert sentence in catalogue


async def test_a_deletion_may_be_undone_for_a_minute_and_then_happens(
    portal: Portal, ann: Client, done: int
) -> None:
    datastore = portal.components.datastore
    assert await _form(ann, f"/tickets/{done}/delete") == 303
    assert "Undo" in await text(ann, f"/tickets/{done}")
    assert await deletions.delete_due(datastore) == 0

    assert await _form(ann, f"/tickets/{done}/undelete") == 303
    assert (await Ticket.get(id=done)).delete_at is None

    user = await Ticket.get(id=done).select_related("user")
    await deletions.plan(done, user.user, after_s=-1)
    assert await deletions.delete_due(datastore) == 1
    assert (await Ticket.get(id=done)).status is Status.DELETED
    assert not (portal.datastore / layout.ticket_dir(done)).exists()
    assert await _form(ann, f"/tickets/{done}/undelete") == 400


async def test_the_layers_nickname_names_the_ticket_for_its_owner_alone(
    portal: Portal, ann: Client
) -> None:
    ticket_id = await new_ticket(ann)
    path = f"/api/tickets/{ticket_id}/files/input"
    await send_file(ann, path, "a.itksnap", NAMED.encode())
    await post(ann, f"/api/tickets/{ticket_id}/status", status="ready")

    assert '<p class="name">Jane Doe &lt;u&gt;</p>' in await text(ann, f"/tickets/{ticket_id}")
    root = await portal.user("root@example.com", sysadmin=True)
    for page in (f"/tickets/{ticket_id}", f"/admin/tickets/{ticket_id}/detail", "/admintickets"):
        assert "Jane" not in await text(root, page)
    assert await _form(root, f"/tickets/{ticket_id}/title", title="Mine") == 400


async def test_an_owner_names_his_ticket_and_the_name_goes_with_it(
    portal: Portal, ann: Client
) -> None:
    ticket_id = await submitted_ticket(ann)

    assert await _form(ann, f"/tickets/{ticket_id}/title", title="  Phantom \n 7 ") == 303
    assert "Phantom 7" in await text(ann, "/tickets")

    await ann.get(f"/api/tickets/{ticket_id}/delete")
    assert (await Ticket.get(id=ticket_id)).title == ""


async def test_nobody_else_gets_any_of_it(portal: Portal, ann: Client, done: int) -> None:
    bob = await portal.user("bob@example.com")

    for path in ("", "/download", "/volumes.csv"):
        answer = await bob.get(f"/tickets/{done}{path}")
        assert (answer.status_code, b"lungs" in await answer.get_data()) == (400, False)
    for path in ("delete", "undelete", "title"):
        assert await _form(bob, f"/tickets/{done}/{path}", title="x") == 400
    assert (await Ticket.get(id=done)).delete_at is None


async def test_no_sentence_speaks_of_users_by_their_number(portal: Portal, ann: Client) -> None:
    page = await text(ann, "/tickets/4711")

    assert "for user" not in page
    assert "There is no ticket 4711 of yours" in page


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
    await _log(portal, granted, "picture.png", b"\x89PNG", "image/png")
    await _log(portal, granted, "note.txt", MARKUP, "text/plain")

    await _succeed(portal, granted, "good")

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
