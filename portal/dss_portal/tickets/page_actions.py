"""What users and admins can do on a ticket's page: show it, view its images, delete it, undo the deletion, and retry
it.
"""

from quart import Response, request

from dss_portal.accounts.sessions import current_user
from dss_portal.models import Status
from dss_portal.pages.rendering import confirmation, content_policy, page, see_other
from dss_portal.tickets import deletions, submission, viewing
from dss_portal.tickets.page_view import FAILED, SHOWN_LINES, picture_of, view_of
from dss_portal.web.context import components

_CONSEQUENCES = {
    Status.READY: "It waits for its turn, which it loses. ",
    Status.CLAIMED: "It is being worked on, and that is stopped. ",
}


async def show(ticket_id: int, base: str, *, as_admin: bool) -> Response:
    """The page of the ticket.  ``base`` is the path under which the page finds its actions, such as ``/tickets/7``;
    ``as_admin`` adds what only admins see.  Raises Refused if the user may not see the ticket.
    """
    ticket = await submission.readable(ticket_id, current_user())
    await ticket.fetch_related("user", "service")
    return await page(
        "ticket.html",
        ticket=ticket,
        base=base,
        as_admin=as_admin,
        retriable=ticket.status in FAILED and ticket.delete_at is None,
        shown_lines=SHOWN_LINES,
        view=await view_of(
            components().datastore, components().estimates, ticket, with_claims=as_admin
        ),
    )


async def view(ticket_id: int) -> Response:
    """The page with the viewer for the ticket's image and segmentation.  Raises Refused if the user may not see the
    ticket.

    Its Content-Security-Policy allows images from ``data:``, because the script of the viewer (NiiVue) contains its
    letters and shading as such images.
    """
    ticket = await submission.readable(ticket_id, current_user())
    answer = await page(
        "viewer.html",
        ticket=ticket,
        is_own=ticket.user_id == current_user().id,
        scene=await viewing.scene(components().datastore, ticket),
        picture=await picture_of(ticket),
    )
    answer.headers["Content-Security-Policy"] = content_policy(images="'self' data:")
    return answer


async def delete(ticket_id: int, *, back: str, listing: str) -> Response:
    """A GET asks for confirmation, with a link to ``back``; a POST plans the deletion, which takes effect after a
    minute, and redirects to ``listing``.  Raises Refused if the user may not see the ticket.
    """
    ticket = await submission.readable(ticket_id, current_user())
    if request.method == "POST":
        await deletions.plan(ticket_id, current_user())
        return await see_other(
            listing, f"Ticket {ticket_id} is deleted within a minute; until then you can undo it."
        )
    return await confirmation(
        question=f"Delete ticket {ticket_id}?",
        consequence=f"{_CONSEQUENCES.get(ticket.status, '')}Its images and results are removed for good, after a "
        "minute in which you can undo it.",
        verb="Delete the ticket",
        back=back,
    )


async def undelete(ticket_id: int, *, back: str) -> Response:
    """Cancel the planned deletion and redirect to ``back``.  Raises Refused if the ticket is deleted already, or if the
    user may not see it.
    """
    await deletions.undo(ticket_id, current_user())
    return await see_other(back, f"Ticket {ticket_id} stays.")


async def retry(ticket_id: int, *, back: str) -> Response:
    """A GET asks for confirmation; a POST queues the ticket again and redirects to ``back``.  Raises Refused if the
    user may not see the ticket, or if its state or the quota forbids a retry.
    """
    await submission.readable(ticket_id, current_user())
    if request.method == "POST":
        datastore = components().datastore
        quiet_s = components().settings.quiet_upload_s
        await submission.retry(datastore, ticket_id, current_user(), quiet_s)
        return await see_other(back, f"Ticket {ticket_id} waits again.")
    return await confirmation(
        question=f"Retry ticket {ticket_id}?",
        consequence="It is queued again and begins anew; what it has as results is removed.",
        verb="Retry the ticket",
        back=back,
    )
