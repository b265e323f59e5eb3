"""``/api/login`` and ``/api/token``: sign-in for ITK-SNAP."""

import json
import logging

from quart import Blueprint, Response, request

from dss_portal.accounts import store
from dss_portal.accounts.sessions import (
    changes_state,
    current_user,
    identity,
    sign_in_with_token,
    sign_out,
    signed_in,
)
from dss_portal.refusals import Refused
from dss_portal.web import parameters
from dss_portal.web.answers import asks_for_json, plain
from dss_portal.web.context import components

blueprint = Blueprint("accounts", __name__, url_prefix="/api")

log = logging.getLogger(__name__)


@blueprint.get("/login")
@signed_in
async def who() -> Response:
    return _greeting(current_user().email, asks_for_json(request.args))


@blueprint.post("/login")
async def login() -> Response:
    """Sign in with a one-time token and greet the user.  A wrong token ends the current session, as in the reference
    server, and the response is 401.  Raises Refused without a token, or after too many wrong ones (429).
    """
    form = await parameters.form()
    token = form.get("token")
    if token is None:
        raise Refused("Missing 'token' parameter")
    user = await sign_in_with_token(token)
    if user is None:
        await sign_out()
        answer = plain("unauthorized", 401)
        answer.headers["Content-Type"] = "text/html"
        return answer
    log.info("signed in", extra={"user": user.id})
    return _greeting(user.email, form.get("format") == "json")


@blueprint.get("/token")
@changes_state
async def token() -> Response:
    """Create a one-time token and send it as text.  Raises Refused (401) for a request without a session in which the
    terms of use were accepted; a token for programs is not enough.
    """
    found = await identity()
    if found is None or not found.terms_accepted:
        raise Refused("Unauthorized access", 401)
    return plain(await store.new_login_token(found.user, components().settings.login_token_s))


def _greeting(email: str, as_json: bool) -> Response:  # noqa: FBT001 - one of two forms
    # ITK-SNAP's GUI reads the JSON; itksnap-wt compares the first 13 characters of the text.
    if as_json:
        return plain(json.dumps({"result": {"email": email}}))
    return plain(f"logged in as {email} \n")
