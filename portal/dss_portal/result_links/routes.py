"""``/open``: result files for ITK-SNAP, which requests each file by its name, without a session."""

from quart import Blueprint, Response

from dss_portal.refusals import Refused
from dss_portal.result_links import store
from dss_portal.tickets import store as tickets
from dss_portal.web.context import components
from dss_portal.web.uploads import as_download

blueprint = Blueprint("openings", __name__)

GONE = "This link has ended; open the ticket's page for a new one."


@blueprint.get("/open/<regex('[0-9a-f]{32}'):token>/<name>")
async def file(token: str, name: str) -> Response:
    """Send a file of the results, or 304 if the copy that ITK-SNAP already has is current.  Raises Refused if the link
    or the file does not exist.
    """
    ticket = await store.ticket_of(token)
    files = [] if ticket is None else await tickets.files(ticket.id, "results")
    places = {file.name: file.place for file in files}
    if ticket is None or name not in places:
        raise Refused(GONE, 404)
    path = await components().datastore.file(ticket.id, "results", places[name])
    answer = await as_download(path, name)
    answer.headers["Cache-Control"] = "private, no-cache"  # cached, and validated each time
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer
