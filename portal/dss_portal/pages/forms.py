"""Reads the forms that web pages submit, and checks that one of our own pages has submitted them, by a token in the
form (against cross-site request forgery).
"""

from dataclasses import dataclass

from itsdangerous import BadSignature
from quart import g, request
from werkzeug.sansio.multipart import Data, Field, File

from dss_portal.accounts.sessions import Identity
from dss_portal.refusals import Refused
from dss_portal.web import parameters
from dss_portal.web.context import components
from dss_portal.web.signing import Serializer

TOKEN_FIELD = "form_token"  # noqa: S105 - the field's name
TOKEN_LIFE_S = 24 * 3600
TOO_OLD = "This form is too old; reload the page and try again."
MAX_BYTES = 8 * 2**20
_WITH_FILE = {"pages.admin.services.register_upload"}
"""Endpoints whose forms may contain a file of up to MAX_BYTES; other forms have the small size limit of the API."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """A submitted form: its fields, and the file if it has one.  ``file`` is empty if the user has chosen no file."""

    fields: dict[str, str]
    file_name: str = ""
    file: bytes = b""

    def text(self, name: str) -> str:
        """The field ``name`` without blanks around it; "" if it is missing."""
        return self.fields.get(name, "").strip()


async def submitted() -> Form:
    """The form of this request, which is read at the first call.  Raises Refused if it is malformed or too large."""
    if "dss_form" not in g:
        g.dss_form = await _read()
    found: Form = g.dss_form
    return found


def fields_sent() -> dict[str, str]:
    """The fields of the form of this request, with which a page can fill in the form again; empty if no form was read."""
    return g.dss_form.fields if "dss_form" in g else {}


def token_for(found: Identity) -> str:
    """The signed token that forms must contain if they are shown to ``found``, the user and session of this request."""
    return _signer().dumps(_owner(found))


async def check(found: Identity) -> None:
    """Raises Refused unless the token in the form of this request was made for the same session and is not older than
    TOKEN_LIFE_S.
    """
    sent = (await submitted()).fields.get(TOKEN_FIELD, "")
    try:
        owner = _signer().loads(sent, max_age=TOKEN_LIFE_S)
    except BadSignature as error:
        raise Refused(TOO_OLD) from error
    if owner != _owner(found):
        raise Refused(TOO_OLD)


def _owner(found: Identity) -> str:
    return found.session.sha256 if found.session else f"test mode, user {found.user.id}"


def _signer() -> Serializer:
    key = components().settings.secret_key.get_secret_value()
    return Serializer(key, salt="dss_portal.pages.forms")


async def _read() -> Form:
    if request.mimetype != "multipart/form-data" or request.endpoint not in _WITH_FILE:
        return Form(fields=await parameters.form())
    values: dict[str, bytearray] = {}
    current = bytearray()
    file_name, file, size_bytes = "", bytearray(), 0
    async for part in parameters.multipart(components().settings.request_s):
        match part:
            case File():
                file_name, current = part.filename, file
            case Field():
                current = values[part.name] = bytearray()
            case Data():
                size_bytes += len(part.data)
                if size_bytes > MAX_BYTES:
                    raise Refused(f"A file may have {MAX_BYTES // 2**20} MB at most.", 413)
                current += part.data
    fields = {name: value.decode(errors="replace") for name, value in values.items()}
    return Form(fields=fields, file_name=file_name, file=bytes(file))
