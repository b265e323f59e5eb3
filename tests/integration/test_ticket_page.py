"""What the page of a ticket tells its owner, and what it keeps from everybody else."""

import re
from datetime import timedelta

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.messages import (
    ClaimFailed,
)
from dss_datastore import layout
from dss_portal.database import clock
from dss_portal.models import Dispatcher, Service, Status, Ticket, TicketLabel
from dss_portal.tickets import deletions
from support.portals import (
    Portal,
    new_ticket,
    post,
    send_file,
    submitted_ticket,
    text,
)
from support.ticket_pages import finished_ticket, log, status_becomes, succeed

pytestmark = pytest.mark.stack
NAMED = """<registry><folder key="Layers"><folder key="Layer[000]"><entry key="Role" value="MainRole"/>
<entry key="AbsolutePath" value="/a/layer.nii.gz"/><folder key="LayerMetaData">
<entry key="CustomNickName" value="Jane&#10;Doe &lt;u&gt;"/></folder></folder></folder></registry>"""


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


@pytest.fixture
async def done(portal: Portal, ann: Client) -> int:
    return await finished_ticket(portal, ann)


async def test_a_retried_ticket_shows_nothing_of_the_attempt_before(
    portal: Portal, ann: Client, done: int
) -> None:
    await Ticket.filter(id=done).update(status=Status.FAILED)

    assert await _form(ann, f"/tickets/{done}/retry") == 303

    assert await TicketLabel.filter(ticket_id=done).count() == 0
    assert (await Ticket.get(id=done)).verdict == ""
    page = await text(ann, f"/tickets/{done}")
    for words in ("look at it", "The lungs are at the border.</li>", "<img", "A &amp; B"):
        assert words not in page


async def test_the_second_attempt_of_a_ticket_shows_its_own_attachments_alone(
    portal: Portal, ann: Client, done: int
) -> None:
    await Ticket.filter(id=done).update(status=Status.FAILED)
    await _form(ann, f"/tickets/{done}/retry")
    granted = await portal.granted(done, "d2")
    await log(portal, granted, "quality.txt", b"Second", "text/plain")

    await succeed(portal, granted)

    page = await text(ann, f"/tickets/{done}")
    assert "<pre>Second</pre>" in page
    assert (page.count("<pre>"), page.count("<img")) == (1, 0)


async def test_a_ticket_that_cannot_be_retried_is_told_to_its_owner_with_its_state(
    portal: Portal, ann: Client, done: int
) -> None:
    bob = await portal.user("bob@example.com")
    root = await portal.user("root@example.com", sysadmin=True)
    path = f"/tickets/{done}/retry"

    said = {}
    for client in (ann, bob, root):
        said[client] = await post(client, path, form_token=await _token(client, "/send/x"))

    only = "only a ticket that failed or timed out can be retried."
    assert said[ann][0] == 400
    assert f"Ticket {done} has succeeded; {only}" in said[ann][1]
    assert f"Ticket {done} has succeeded; it cannot be retried." in said[root][1]
    assert said[bob][0] == 404
    assert "succeeded" not in said[bob][1]
    assert f"Ticket {done} does not exist" in said[bob][1]
    assert (await text(ann, f"/api{path}")).startswith(f"Ticket {done} not found for user ")


async def test_why_it_failed_is_said_on_the_page_and_in_the_list(
    portal: Portal, ann: Client
) -> None:
    ticket_id = await submitted_ticket(ann)
    granted = await portal.granted(ticket_id)
    reason = "The image has 4 dimensions; 3 are needed."
    await portal.tell(ClaimFailed(ticket_id=ticket_id, claim_id=granted.claim_id, reason=reason))
    await status_becomes(ticket_id, Status.FAILED)

    assert f'<p class="error">{reason}</p>' in await text(ann, f"/tickets/{ticket_id}")
    assert f'<small class="why">{reason}</small>' in await text(ann, "/tickets")
    assert f'<small class="why">{reason}</small>' in await text(ann, "/")


async def test_a_ticket_that_waits_says_where_and_for_whom(portal: Portal, ann: Client) -> None:
    first, second = await submitted_ticket(ann), await submitted_ticket(ann)

    page = await text(ann, f"/tickets/{second}")

    assert "Place 2 in the queue. Before this ticket comes 1 of your own." in page
    assert re.search(r'<li class="now" aria-current="step"><b>Waiting</b>', page)
    assert "Place 1 in the queue. No other ticket comes before it." in await text(
        ann, f"/tickets/{first}"
    )


async def test_a_ticket_that_nobody_serves_has_no_place_in_the_queue(
    portal: Portal, ann: Client
) -> None:
    ticket_id = await submitted_ticket(ann)
    pages = (f"/tickets/{ticket_id}", "/tickets", "/")
    shown = [await text(ann, path) for path in pages]
    assert all("lace 1 in the queue" in page for page in shown)
    await Dispatcher.filter(service="lung-segmentation").update(ended=True)
    await Service.all().update(heard_at=clock.now() - timedelta(hours=1))

    for path in pages:
        page = await text(ann, path)
        assert "Nobody serves this at present" in page
        assert "in the queue" not in page
        assert "comes before it" not in page


async def test_the_page_of_a_ticket_that_was_not_submitted_leads_to_sending_its_files(
    portal: Portal, ann: Client
) -> None:
    ticket_id = await new_ticket(ann)
    link = f"/send?ticket={ticket_id}"

    page = await text(ann, f"/tickets/{ticket_id}")

    assert "This ticket has not been submitted yet." in page
    assert link in page
    assert f"Replace the files of ticket {ticket_id}" in await text(ann, link)
    root = await portal.user("root@example.com", sysadmin=True)
    assert link not in await text(root, f"/tickets/{ticket_id}")


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
    assert await _form(root, f"/tickets/{ticket_id}/title", title="Mine") == 404


async def test_an_owner_names_his_ticket_and_the_name_goes_with_it(
    portal: Portal, ann: Client
) -> None:
    ticket_id = await submitted_ticket(ann)

    assert await _form(ann, f"/tickets/{ticket_id}/title", title="  Phantom \n 7 ") == 303
    assert "Phantom 7" in await text(ann, "/tickets")

    await ann.get(f"/api/tickets/{ticket_id}/delete")
    assert (await Ticket.get(id=ticket_id)).title == ""


async def test_a_program_names_a_ticket_for_its_owner_alone(portal: Portal, ann: Client) -> None:
    ticket_id = await submitted_ticket(ann)
    path = f"/api/tickets/{ticket_id}/title"
    root = await portal.user("root@example.com", sysadmin=True)

    assert await post(ann, path, title=" Jane\tDoe.nii.gz ") == (200, "success")

    assert "Jane Doe.nii.gz" in await text(ann, "/api/tickets/summary")
    refused = await post(root, path, title="Mine")
    assert (refused[0], "Jane" in refused[1]) == (400, False)
    assert (await post(ann, path))[0] == 400
    assert (await post(ann, f"/api/tickets/{2**40}/title", title="x"))[0] == 400
    assert (await Ticket.get(id=ticket_id)).title == "Jane Doe.nii.gz"
    assert await post(ann, path, title="") == (200, "success")
    assert (await Ticket.get(id=ticket_id)).title == ""


async def test_nobody_else_gets_any_of_it(portal: Portal, ann: Client, done: int) -> None:
    bob = await portal.user("bob@example.com")

    for path in ("", "/download", "/volumes.csv"):
        answer = await bob.get(f"/tickets/{done}{path}")
        assert (answer.status_code, b"lungs" in await answer.get_data()) == (404, False)
    for path in ("delete", "undelete", "title"):
        assert await _form(bob, f"/tickets/{done}/{path}", title="x") == 404
    assert (await Ticket.get(id=done)).delete_at is None


async def test_no_sentence_speaks_of_users_by_their_number(portal: Portal, ann: Client) -> None:
    page = await text(ann, "/tickets/4711")

    assert "for user" not in page
    assert "Ticket 4711 does not exist" in page
