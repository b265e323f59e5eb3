"""The admin's pages of tickets: the list of all users' tickets (``/admintickets``), and showing, deleting, undeleting
and retrying a single ticket.
"""

from quart import Blueprint, Response, request

from dss_portal.admin import overview
from dss_portal.models import Status
from dss_portal.pages import addresses
from dss_portal.pages.numbers import NUMBER, ticket_number
from dss_portal.pages.rendering import page
from dss_portal.tickets import page_actions as ticket_actions

blueprint = Blueprint("tickets", __name__)

SHOWN = 100


@blueprint.get(addresses.ADMIN_TICKETS)
async def listing() -> Response:
    """The page with the SHOWN newest tickets of all users; with ``?before=N``, with the SHOWN newest ones whose numbers
    are below N.

    Two filters: ``?status=`` and ``?user=``, a part of the user's e-mail address.  Without a known state in
    ``?status=``, tickets in all states except deleted ones are listed.
    """
    wanted, part = request.args.get("status", ""), request.args.get("user", "").strip()
    status = Status(wanted) if wanted in set(Status) else None
    before = ticket_number(request.args.get("before", ""))
    part = part.replace("\0", "")
    tickets = await overview.newest_tickets(SHOWN, status=status, email_part=part, before=before)
    return await page(
        "admin_tickets.html",
        tickets=tickets,
        chosen=status,
        part=part,
        states=list(Status),
        limit=SHOWN,
        before=before,
        older=tickets[-1].id if len(tickets) == SHOWN else None,
    )


@blueprint.get(f"/admin/tickets/<{NUMBER}:ticket_id>/detail")
async def show(ticket_id: int) -> Response:
    return await ticket_actions.show(
        ticket_id, addresses.ticket_for_admin(ticket_id), as_admin=True
    )


@blueprint.route(f"/admin/tickets/<{NUMBER}:ticket_id>/delete", methods=["GET", "POST"])
async def delete(ticket_id: int) -> Response:
    back = f"{addresses.ticket_for_admin(ticket_id)}/detail"
    return await ticket_actions.delete(ticket_id, back=back, listing=addresses.ADMIN_TICKETS)


@blueprint.post(f"/admin/tickets/<{NUMBER}:ticket_id>/undelete")
async def undelete(ticket_id: int) -> Response:
    back = f"{addresses.ticket_for_admin(ticket_id)}/detail"
    return await ticket_actions.undelete(ticket_id, back=back)


@blueprint.route(f"/admin/tickets/<{NUMBER}:ticket_id>/retry", methods=["GET", "POST"])
async def retry(ticket_id: int) -> Response:
    return await ticket_actions.retry(
        ticket_id, back=f"{addresses.ticket_for_admin(ticket_id)}/detail"
    )
