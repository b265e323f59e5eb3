"""``/api/tickets/N/uploads``: resumable uploads by tus 1.0.0, for files of a ticket that is not yet submitted."""

from datetime import UTC
from email.utils import format_datetime

from quart import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed

from dss_portal.accounts.sessions import current_user, signed_in
from dss_portal.models import ResumableUpload
from dss_portal.refusals import Refused
from dss_portal.resumable import headers, store
from dss_portal.resumable.receiving import Receiver
from dss_portal.tickets import submission
from dss_portal.web import parameters
from dss_portal.web.answers import plain
from dss_portal.web.context import components

blueprint = Blueprint("resumable", __name__, url_prefix="/api/tickets/<int:ticket_id>/uploads")

LOCKED = 423


@blueprint.after_request
async def _spoken(response: Response) -> Response:
    response.headers["Tus-Resumable"] = headers.VERSION
    response.headers["Cache-Control"] = "no-store"
    if response.status_code == 412:
        response.headers["Tus-Version"] = headers.VERSION
    if response.status_code == LOCKED:
        response.headers["Retry-After"] = "1"
    return response


@blueprint.route("", methods=["OPTIONS"])
async def offered(ticket_id: int) -> Response:  # noqa: ARG001 - a part of the address
    """The features of this portal's tus protocol; they are the same for every ticket and user."""
    answer = plain("", 204)
    answer.headers["Tus-Version"] = headers.VERSION
    answer.headers["Tus-Extension"] = headers.EXTENSIONS
    answer.headers["Tus-Max-Size"] = str(components().settings.max_upload_bytes)
    return answer


@blueprint.post("")
@signed_in
async def create(ticket_id: int) -> Response:
    await submission.readable(ticket_id, current_user())
    headers.require_version(_sent("Tus-Resumable"))
    name = headers.file_name(_sent("Upload-Metadata"))
    sha256 = headers.sha256(_sent("Upload-Metadata"))
    size_bytes = headers.size("Upload-Length", _sent("Upload-Length"))
    datastore, settings = components().datastore, components().settings
    upload = await store.create(
        datastore,
        settings,
        ticket_id,
        current_user(),
        name=name,
        size_bytes=size_bytes,
        sha256=sha256,
    )
    if size_bytes == 0:
        upload = await _receiver().looked_at(ticket_id, upload.id)
    answer = _told(upload, 201)
    answer.headers["Location"] = (
        f"{settings.public_prefix}/api/tickets/{ticket_id}/uploads/{upload.id}"
    )
    return answer


@blueprint.route("/<regex('[a-f0-9]{32}'):upload_id>", methods=["HEAD", "PATCH", "DELETE", "POST"])
@signed_in
async def upload(ticket_id: int, upload_id: str) -> Response:
    """Handle a request for an upload.  A POST may name the method that it stands for, because a proxy may block PATCH."""
    await submission.readable(ticket_id, current_user())
    headers.require_version(_sent("Tus-Resumable"))
    method = _sent("X-HTTP-Method-Override").upper() or request.method
    match method:
        case "HEAD":
            return _told(await _receiver().looked_at(ticket_id, upload_id), 200)
        case "PATCH":
            return _told(await _taken(ticket_id, upload_id), 204)
        case "DELETE":
            await store.remove(components().datastore, ticket_id, upload_id)
            return plain("", 204)
        case _:
            raise MethodNotAllowed(valid_methods=["HEAD", "PATCH", "DELETE"])


async def _taken(ticket_id: int, upload_id: str) -> ResumableUpload:
    if _sent("Content-Type") != headers.BODY_TYPE:
        raise Refused(f"The Content-Type must be {headers.BODY_TYPE}.", 415)
    offset = headers.size("Upload-Offset", _sent("Upload-Offset"))
    body = parameters.chunks(components().settings.request_s)
    return await _receiver().take(ticket_id, upload_id, offset, body)


def _receiver() -> Receiver:
    return Receiver(components().datastore, components().settings, current_user())


def _sent(name: str) -> str:
    return request.headers.get(name, "")


def _told(upload: ResumableUpload, status: int) -> Response:
    answer = plain("", status)
    answer.headers["Upload-Offset"] = str(upload.received_bytes)
    answer.headers["Upload-Length"] = str(upload.length_bytes)
    if not upload.finished:
        expires = store.expires_at(upload, components().settings)
        answer.headers["Upload-Expires"] = format_datetime(expires.astimezone(UTC), usegmt=True)
    return answer
