"""``/live``: the stream of events for a browser that is signed in."""

from quart import Blueprint, Response

from dss_portal.accounts.sessions import terms_are_due
from dss_portal.pages.guards import person
from dss_portal.refusals import Refused
from dss_portal.web.context import components

blueprint = Blueprint("live", __name__)


@blueprint.get("/live")
async def stream() -> Response:
    """The stream of events for one page of a browser.  Raises Refused if the user has not signed in, has yet to accept
    the terms of use, or has too many pages open.
    """
    found = await person()
    if found is None or terms_are_due():
        raise Refused("You are not logged in!", 401)
    events = await components().streams.opened(found.user.id, sysadmin=found.user.sysadmin)
    answer = Response(events, content_type="text/event-stream")
    answer.timeout = None
    answer.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    return answer
