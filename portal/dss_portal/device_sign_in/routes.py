"""``/api/device``: a command line begins a sign-in, and then fetches its token.  The format is that of RFC 8628."""

import json
import logging

from quart import Blueprint, Response, request

from dss_observability import metrics
from dss_portal import forms
from dss_portal.accounts import api_tokens, client_addresses
from dss_portal.accounts.openid_routes import issuer
from dss_portal.accounts.sessions import sends_bearer
from dss_portal.database import clock
from dss_portal.device_sign_in import store
from dss_portal.models import ApiToken
from dss_portal.pages import addresses
from dss_portal.refusals import NotSignedIn
from dss_portal.web import parameters
from dss_portal.web.answers import json_body, plain
from dss_portal.web.context import components

blueprint = Blueprint("machines_api", __name__, url_prefix="/api/device")

log = logging.getLogger(__name__)


@blueprint.post("")
async def begin() -> Response:
    """Begin a sign-in and send its codes.  Raises Refused on a site without an OpenID Connect issuer, where users paste
    tokens, above the rate limit, and for unknown scopes or an impossible callback.
    """
    issuer()
    components().limits.machine_sign_ins.count(client_addresses.key())
    form = await parameters.form()
    codes = await store.begin(
        forms.of(form, "machine"),
        form.get("scope", "tickets").split(),
        form.get("callback", ""),
        client_addresses.key(),
    )
    page = components().settings.public_url.rstrip("/") + addresses.DEVICE
    answer: dict[str, object] = {
        "device_code": codes.secret,
        "user_code": store.displayed_code(codes.code),
        "verification_uri": page,
        "expires_in": store.LIFE_S,
        "interval": store.POLL_S,
    }
    if form.get(
        "callback"
    ):  # without it the code must be typed, so that an attacker's link is not enough
        answer["verification_uri_complete"] = f"{page}?code={store.displayed_code(codes.code)}"
    return _unkept(json_body(answer))


@blueprint.post("/token")
async def token() -> Response:
    """Send the token, once a user has allowed the sign-in.  Until then, or if the user refuses, the status is 400 with
    the error code of RFC 8628.
    """
    form = await parameters.form()
    try:
        access_token = await store.redeem(forms.of(form, "device_code"), form.get("code", ""))
    except store.TokenNotIssued as error:
        if error.error == "access_denied":
            metrics.SIGN_INS.labels("machine", "refused").inc()
        answer = json_body({"error": error.error})
        answer.status_code = 400
        return _unkept(answer)
    metrics.SIGN_INS.labels("machine", "accepted").inc()
    log.info("a machine was signed in")
    return _unkept(json_body({"access_token": access_token, "token_type": "Bearer"}))


@blueprint.post("/revoke")
async def revoke() -> Response:
    """Revoke the Bearer token with which this request was sent.  Raises NotSignedIn without a valid one."""
    found = None
    if sends_bearer():
        found = await api_tokens.find(request.headers["Authorization"].partition(" ")[2].strip())
    if found is None:
        raise NotSignedIn
    await ApiToken.filter(id=found.id).update(revoked_at=clock.now())
    return plain(json.dumps("revoked"))


def _unkept(answer: Response) -> Response:
    answer.headers["Cache-Control"] = "no-store"
    return answer
