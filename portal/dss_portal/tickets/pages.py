"""``/tickets``: a user's own tickets."""

from quart import Blueprint, Response
from tortoise.functions import Count

from dss_portal.accounts.sessions import current_user
from dss_portal.admin.overview import newest_tickets, unsubmitted
from dss_portal.models import Status, Ticket, TicketFile
from dss_portal.pages import addresses
from dss_portal.pages.guards import only_signed_in
from dss_portal.pages.numbers import NUMBER
from dss_portal.pages.rendering import page
from dss_portal.tickets import page_actions as ticket_actions
from dss_portal.tickets import queue

blueprint = Blueprint("own_tickets", __name__, url_prefix=addresses.TICKETS)
blueprint.before_request(only_signed_in)

SHOWN = 200


@blueprint.get("")
async def listing() -> Response:
    """The newest ones, and older ones that were never submitted: they may count in the quota."""
    user_id = current_user().id
    tickets = await newest_tickets(SHOWN, user_id=user_id)
    if len(tickets) == SHOWN:
        tickets += await unsubmitted(user_id, before=tickets[-1].id, limit=SHOWN)
    return await page(
        "own_tickets.html",
        tickets=tickets,
        places=await _places(user_id),
        results=await _result_counts([ticket.id for ticket in tickets]),
        limit=SHOWN,
    )


@blueprint.get(f"/<{NUMBER}:ticket_id>")
async def show(ticket_id: int) -> Response:
    return await ticket_actions.show(ticket_id, addresses.ticket(ticket_id), as_admin=False)


@blueprint.route(f"/<{NUMBER}:ticket_id>/delete", methods=["GET", "POST"])
async def delete(ticket_id: int) -> Response:
    return await ticket_actions.delete(
        ticket_id, back=addresses.ticket(ticket_id), listing=addresses.TICKETS
    )


@blueprint.route(f"/<{NUMBER}:ticket_id>/retry", methods=["GET", "POST"])
async def retry(ticket_id: int) -> Response:
    return await ticket_actions.retry(ticket_id, back=addresses.ticket(ticket_id))


async def _places(user_id: int) -> dict[int, int]:
    """Where the user's waiting tickets stand in their queues."""
    waiting = Ticket.filter(user_id=user_id, status=Status.READY).order_by("-id")
    return {t.id: await queue.position(t) for t in await waiting.limit(SHOWN)}


async def _result_counts(ticket_ids: list[int]) -> dict[int, int]:
    files = TicketFile.filter(ticket_id__in=ticket_ids, area="results")
    counted = files.annotate(count=Count("id")).group_by("ticket_id")
    return {int(i): int(n) for i, n in await counted.values_list("ticket_id", "count")}
