"""``/blobs``: attachments for everyone who has the link, because ITK-SNAP opens links in a browser without a session."""

from quart import Blueprint, Response

from dss_portal.attachments import store
from dss_portal.web.context import components
from dss_portal.web.uploads import as_inline

blueprint = Blueprint("attachments", __name__)

_SCRIPTS = ("javascript", "ecmascript", "jscript", "livescript")


def _harmless(mime_type: str) -> str:
    """The media type to send: ``mime_type``, but plain text for a script, because our pages may load scripts from
    their own origin.
    """
    kind = mime_type.partition(";")[0].lower()
    return "text/plain" if any(name in kind for name in _SCRIPTS) else mime_type


@blueprint.get("/blobs/<regex('[0-9a-f]{32}'):public_id>")
async def blob(public_id: str) -> Response:
    """Send the attachment with a sandbox policy, so that a script that a provider uploaded cannot
    act for our origin.
    """
    datastore = components().datastore
    found = await store.by_public_id(public_id)
    path = await datastore.attachment(found.ticket_id, found.file_name)
    answer = await as_inline(path, _harmless(found.mime_type))
    answer.headers["Content-Security-Policy"] = (
        "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'"
    )
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer
