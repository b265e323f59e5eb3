"""The API of resumable uploads with the protocol tus 1.0.0: ``/api/tickets/N/uploads`` for the input of a ticket that
is not submitted yet, and ``/api/pro/tickets/N/uploads`` for results and attachments from its provider.
"""

from datetime import UTC
from email.utils import format_datetime

from quart import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed

from dss_portal.accounts.sessions import current_user, signed_in
from dss_portal.models import ResumableUpload
from dss_portal.providers import store as providers
from dss_portal.providers.uploads import ProviderRules
from dss_portal.refusals import Refused
from dss_portal.resumable import headers, store
from dss_portal.resumable.inputs import InputRules
from dss_portal.resumable.receiving import Receiver
from dss_portal.resumable.rules import Rules
from dss_portal.tickets import submission
from dss_portal.web import parameters
from dss_portal.web.answers import plain
from dss_portal.web.context import components

blueprint = Blueprint("resumable", __name__, url_prefix="/api/tickets/<int:ticket_id>/uploads")
provider_blueprint = Blueprint(
    "provider_uploads", __name__, url_prefix="/api/pro/tickets/<int:ticket_id>/uploads"
)

LOCKED = 423
_UPLOAD = "/<regex('[a-f0-9]{32}'):upload_id>"
_METHODS = ["HEAD", "PATCH", "DELETE", "POST"]


@provider_blueprint.after_request
@blueprint.after_request
async def _add_headers(response: Response) -> Response:
    response.headers["Tus-Resumable"] = headers.VERSION
    response.headers["Cache-Control"] = "no-store"
    if response.status_code == 412:
        response.headers["Tus-Version"] = headers.VERSION
    if response.status_code == LOCKED:
        response.headers["Retry-After"] = "1"
    return response


@provider_blueprint.route("", methods=["OPTIONS"])
@blueprint.route("", methods=["OPTIONS"])
async def offered(ticket_id: int) -> Response:  # noqa: ARG001 - a part of the address
    """Respond with the version, extensions and largest size of tus uploads that this portal supports.  They are the
    same for every ticket and user.
    """
    answer = plain("", 204)
    answer.headers["Tus-Version"] = headers.VERSION
    answer.headers["Tus-Extension"] = headers.EXTENSIONS
    answer.headers["Tus-Max-Size"] = str(components().settings.max_upload_bytes)
    return answer


@blueprint.post("")
@signed_in
async def create(ticket_id: int) -> Response:
    return await _created(ticket_id, await _inputs(ticket_id), "/api/tickets")


@provider_blueprint.post("")
@signed_in
async def create_provided(ticket_id: int) -> Response:
    return await _created(ticket_id, await _provided(ticket_id), "/api/pro/tickets")


@blueprint.route(_UPLOAD, methods=_METHODS)
@signed_in
async def upload(ticket_id: int, upload_id: str) -> Response:
    """Handle a request for one upload: HEAD (state), PATCH (append bytes) or DELETE.  A POST may name one of these in
    X-HTTP-Method-Override, because some proxies block PATCH.  Raises Refused (404) for an upload of another sender.
    """
    return await _handled(ticket_id, upload_id, await _inputs(ticket_id))


@provider_blueprint.route(_UPLOAD, methods=_METHODS)
@signed_in
async def provided_upload(ticket_id: int, upload_id: str) -> Response:
    return await _handled(ticket_id, upload_id, await _provided(ticket_id))


async def _inputs(ticket_id: int) -> Rules:
    await submission.readable(ticket_id, current_user())
    return InputRules(components().datastore, components().settings, current_user())


async def _provided(ticket_id: int) -> Rules:
    await providers.require_ever_claimed(ticket_id, current_user())
    return ProviderRules(components().datastore, current_user())


async def _created(ticket_id: int, rules: Rules, above: str) -> Response:
    headers.require_version(_header("Tus-Resumable"))
    size_bytes = headers.size("Upload-Length", _header("Upload-Length"))
    announced = headers.read_metadata(_header("Upload-Metadata"), size_bytes)
    datastore, settings = components().datastore, components().settings
    upload = await store.create(datastore, settings, ticket_id, announced, rules)
    if size_bytes == 0:
        upload = await Receiver(datastore, rules).find_and_finish(ticket_id, upload.id)
    answer = _state_response(upload, 201)
    address = f"{settings.public_prefix}{above}/{ticket_id}/uploads/{upload.id}"
    answer.headers["Location"] = address
    return answer


async def _handled(ticket_id: int, upload_id: str, rules: Rules) -> Response:
    headers.require_version(_header("Tus-Resumable"))
    datastore = components().datastore
    if not await rules.owns(await store.find(ticket_id, upload_id)):
        raise store.no_such_upload()
    receiver = Receiver(datastore, rules)
    match _header("X-HTTP-Method-Override").upper() or request.method:
        case "HEAD":
            return _state_response(await receiver.find_and_finish(ticket_id, upload_id), 200)
        case "PATCH":
            return _state_response(await _receive_part(ticket_id, upload_id, receiver), 204)
        case "DELETE":
            await store.remove(datastore, ticket_id, upload_id)
            return plain("", 204)
        case _:
            raise MethodNotAllowed(valid_methods=["HEAD", "PATCH", "DELETE"])


async def _receive_part(ticket_id: int, upload_id: str, receiver: Receiver) -> ResumableUpload:
    if _header("Content-Type") != headers.BODY_TYPE:
        raise Refused(f"The Content-Type must be {headers.BODY_TYPE}.", 415)
    offset = headers.size("Upload-Offset", _header("Upload-Offset"))
    body = parameters.chunks(components().settings.request_s)
    return await receiver.take(ticket_id, upload_id, offset, body)


def _header(name: str) -> str:
    return request.headers.get(name, "")


def _state_response(upload: ResumableUpload, status: int) -> Response:
    answer = plain("", status)
    answer.headers["Upload-Offset"] = str(upload.received_bytes)
    answer.headers["Upload-Length"] = str(upload.length_bytes)
    if not upload.finished:
        expires = store.expires_at(upload, components().settings)
        answer.headers["Upload-Expires"] = format_datetime(expires.astimezone(UTC), usegmt=True)
    return answer
