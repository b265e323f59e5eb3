"""One ticket on a page: shown, deleted, retried; by its user and by an admin."""

from quart import Response, request

from dss_portal.accounts.sessions import current_user
from dss_portal.admin import overview
from dss_portal.models import Status
from dss_portal.pages.rendering import confirmation, page, see_other
from dss_portal.tickets import progress, queue, store, submission
from dss_portal.web.context import components

SHOWN_LINES = 500
RETRIABLE = (Status.FAILED, Status.TIMEOUT)


async def show(ticket_id: int, base: str, *, as_admin: bool) -> Response:
    """The whole ticket; ``base`` is where its actions are.  Raises Refused."""
    ticket = await submission.readable(ticket_id, current_user())
    await ticket.fetch_related("user", "service")
    return await page(
        "ticket.html",
        ticket=ticket,
        base=base,
        as_admin=as_admin,
        retriable=ticket.status in RETRIABLE,
        progress=progress.shown(ticket.status, await store.progress_chunks(ticket_id)),
        place=await queue.place(ticket),
        areas=[(area, await store.files(ticket_id, area)) for area in ("input", "results")],
        log=await store.newest_log(ticket_id, SHOWN_LINES),
        shown_lines=SHOWN_LINES,
        history=await overview.history(ticket_id),
        claims=await overview.claims(ticket_id) if as_admin else [],
    )


async def delete(ticket_id: int, *, back: str, listing: str) -> Response:
    """GET asks for confirmation; POST deletes and redirects to ``listing``.  Raises Refused."""
    ticket = await submission.readable(ticket_id, current_user())
    if request.method == "POST":
        datastore = components().datastore
        await submission.delete(datastore, ticket_id, current_user())
        return await see_other(listing, f"Ticket {ticket_id} was deleted.")
    return await confirmation(
        question=f"Delete ticket {ticket_id}?",
        consequence=f"It is in state {ticket.status.value}. Its images and results are removed "
        "for good, and whoever works on it is stopped.",
        verb="Delete the ticket",
        back=back,
    )


async def retry(ticket_id: int, *, back: str) -> Response:
    """GET asks for confirmation; POST retries and redirects to ``back``.  Raises Refused."""
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
