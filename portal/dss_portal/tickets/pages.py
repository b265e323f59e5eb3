"""``/tickets``: the pages of a user's own tickets."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from quart import Blueprint, Response, request
from tortoise.functions import Count

from dss_portal.accounts.sessions import current_user
from dss_portal.admin.overview import TicketRow, newest_tickets, unsubmitted
from dss_portal.intake import store as intakes
from dss_portal.intake.states import State
from dss_portal.models import Intake, Status, TicketFile
from dss_portal.pages import addresses, forms
from dss_portal.pages.guards import only_signed_in
from dss_portal.pages.numbers import NUMBER, ticket_number
from dss_portal.pages.rendering import page, see_other
from dss_portal.result_links import store as result_links
from dss_portal.services import liveness
from dss_portal.services.liveness import SENTENCES, MissingProgram
from dss_portal.tickets import downloads, queue_places, reasons, titles
from dss_portal.tickets import page_actions as ticket_actions
from dss_portal.tickets.page_view import FAILED
from dss_portal.web.context import components

blueprint = Blueprint("own_tickets", __name__, url_prefix=addresses.TICKETS)
blueprint.before_request(only_signed_in)

SHOWN = 100


@blueprint.get("")
async def listing() -> Response:
    """The page of the user's SHOWN newest tickets that are not deleted; with ``?before=N``, of those with numbers below
    N.

    The first page also shows up to SHOWN older tickets that were never submitted, because they may count towards the
    quota.
    """
    user_id, before = current_user().id, ticket_number(request.args.get("before", ""))
    tickets = await newest_tickets(SHOWN, user_id=user_id, before=before)
    older = tickets[-1].id if len(tickets) == SHOWN else None
    if older is not None and before is None:
        tickets += await unsubmitted(user_id, before=older, limit=SHOWN)
    return await page(
        "own_tickets.html",
        tickets=tickets,
        limit=SHOWN,
        before=before,
        older=older,
        facts=await list_facts(tickets),
    )


@blueprint.get(f"/<{NUMBER}:ticket_id>")
async def show(ticket_id: int) -> Response:
    return await ticket_actions.show(ticket_id, addresses.ticket(ticket_id), as_admin=False)


@blueprint.get(f"/<{NUMBER}:ticket_id>/view")
async def view(ticket_id: int) -> Response:
    return await ticket_actions.view(ticket_id)


@blueprint.route(f"/<{NUMBER}:ticket_id>/delete", methods=["GET", "POST"])
async def delete(ticket_id: int) -> Response:
    return await ticket_actions.delete(
        ticket_id, back=addresses.ticket(ticket_id), listing=addresses.TICKETS
    )


@blueprint.post(f"/<{NUMBER}:ticket_id>/undelete")
async def undelete(ticket_id: int) -> Response:
    return await ticket_actions.undelete(ticket_id, back=addresses.TICKETS)


@blueprint.post(f"/<{NUMBER}:ticket_id>/title")
async def rename(ticket_id: int) -> Response:
    """Save the ticket's new title from the form; an empty one removes it.  Raises Refused unless the user owns the
    ticket, or if it is deleted.
    """
    title = (await forms.submitted()).text("title")
    await titles.rename(ticket_id, current_user(), title)
    return await see_other(addresses.ticket(ticket_id), "The name was saved.")


@blueprint.post(f"/<{NUMBER}:ticket_id>/series")
async def choose_series(ticket_id: int) -> Response:
    """Have the uploaded files read again, with the DICOM series that the user has chosen in the form.  Raises Refused
    if the ticket is not the user's, if there is nothing to choose, or if the series or the files do not exist.
    """
    series = (await forms.submitted()).text("series")
    await intakes.choose_series(ticket_id, current_user(), series)
    return await see_other(addresses.ticket(ticket_id), "The upload is read again.")


@blueprint.post(f"/<{NUMBER}:ticket_id>/open")
async def open_in_itksnap(ticket_id: int) -> Response:
    """Create a link with which ITK-SNAP opens the ticket's results, in place of an earlier one, and show it on a page.
    Raises Refused if the user may not read the ticket, if its results do not have exactly one workspace, or if a file
    name does not fit into the link.
    """
    settings = components().settings
    address = await result_links.open_results(
        ticket_id, current_user(), settings.open_link_s, settings.public_url
    )
    hours = max(round(settings.open_link_s / 3600), 1)
    return await page("opening.html", ticket_id=ticket_id, address=address, hours=hours)


@blueprint.post(f"/<{NUMBER}:ticket_id>/close")
async def close_link(ticket_id: int) -> Response:
    """Revoke the link with which ITK-SNAP opens the ticket's results.  Raises Refused if the user may not read the
    ticket.
    """
    await result_links.close_results(ticket_id, current_user())
    return await see_other(addresses.ticket(ticket_id), "The link for ITK-SNAP has ended.")


@blueprint.get(f"/<{NUMBER}:ticket_id>/download")
async def download(ticket_id: int) -> Response:
    return await downloads.archive(ticket_id)


@blueprint.get(f"/<{NUMBER}:ticket_id>/volumes.csv")
async def volumes(ticket_id: int) -> Response:
    return await downloads.volumes(ticket_id)


@blueprint.route(f"/<{NUMBER}:ticket_id>/retry", methods=["GET", "POST"])
async def retry(ticket_id: int) -> Response:
    return await ticket_actions.retry(ticket_id, back=addresses.ticket(ticket_id))


@dataclass(frozen=True, kw_only=True)
class TicketListFacts:
    """Further data for a list of tickets, by ticket number: of those that wait, the place in the queue (from 1) or, if
    the service lacks a program, a sentence about it (``missing``); the number of result files; the reason of a failure
    or of a refused upload.  What does not apply is left out.
    """

    places: dict[int, int]
    results: dict[int, int]
    reasons: dict[int, str]
    missing: dict[int, str]


async def list_facts(tickets: Sequence[TicketRow]) -> TicketListFacts:
    """The further data for a list of tickets of one user."""
    missing = await _missing(tickets)
    served = [ticket for ticket in tickets if ticket.id not in missing]
    return TicketListFacts(
        places=await queue_places.places(_waiting(served)),
        results=await _result_counts([ticket.id for ticket in tickets]),
        reasons=await _reasons(tickets),
        missing={number: SENTENCES[program] for number, program in missing.items()},
    )


async def _missing(tickets: Sequence[TicketRow]) -> dict[int, MissingProgram]:
    """By ticket number, the kind of program that a waiting ticket's service lacks; services that lack none are left
    out.
    """
    availability = await liveness.availability()
    lacks = {
        ticket.id: availability[ticket.service].missing_for(
            ticket.version, current=not ticket.is_removed
        )
        for ticket in tickets
        if ticket.status is Status.READY
    }
    return {number: program for number, program in lacks.items() if program}


def _waiting(tickets: Sequence[TicketRow]) -> dict[str, list[int]]:
    """The numbers of the tickets that wait, by the name of their service."""
    found: dict[str, list[int]] = defaultdict(list)
    for ticket in tickets:
        if ticket.status is Status.READY:
            found[ticket.service].append(ticket.id)
    return found


async def _reasons(tickets: Sequence[TicketRow]) -> dict[int, str]:
    """By ticket number: why a ticket failed or timed out or, for a ticket in ``init``, why its upload was refused."""
    init = [ticket.id for ticket in tickets if ticket.status is Status.INIT]
    refused = Intake.filter(ticket_id__in=init, state=State.REFUSED)
    found = {int(i): str(why) for i, why in await refused.values_list("ticket_id", "reason")}
    return found | await reasons.reasons(t.id for t in tickets if t.status in FAILED)


async def _result_counts(ticket_ids: list[int]) -> dict[int, int]:
    files = TicketFile.filter(ticket_id__in=ticket_ids, area="results")
    counted = files.annotate(count=Count("id")).group_by("ticket_id")
    return {int(i): int(n) for i, n in await counted.values_list("ticket_id", "count")}
