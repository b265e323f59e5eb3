"""``/api/tickets/N/workspace``: submit one image without a workspace of one's own."""

from quart import Blueprint, Response

from dss_portal.accounts.sessions import current_user, signed_in
from dss_portal.sending import lone_image
from dss_portal.tickets import submission, titles
from dss_portal.web import parameters
from dss_portal.web.answers import plain
from dss_portal.web.context import components

blueprint = Blueprint("workspaces", __name__, url_prefix="/api/tickets/<int:ticket_id>/workspace")


@blueprint.post("")
@signed_in
async def add(ticket_id: int) -> Response:
    """Write the workspace of a ticket that has one NIfTI file; ``title`` names the ticket for its owner."""
    ticket = await submission.readable(ticket_id, current_user())
    title = (await parameters.form()).get("title", "")
    await lone_image.add_workspace(
        components().datastore, components().settings, ticket, current_user()
    )
    if title:
        await titles.rename(ticket_id, current_user(), title)
    return plain("success")
