"""The two routes of an OpenID Connect sign-in: the redirect to the issuer, and its callback."""

import hmac
import logging
from typing import TYPE_CHECKING

from quart import Blueprint, request, session
from quart import redirect as redirect_to
from werkzeug.wrappers import Response as Redirect

from dss_observability import metrics
from dss_portal.accounts import store
from dss_portal.accounts.sessions import (
    AFTER_SIGN_IN,
    ask_for_terms,
    changes_state,
    sign_in,
    terms_are_due,
)
from dss_portal.pages import addresses
from dss_portal.refusals import Refused
from dss_portal.web.context import components

if TYPE_CHECKING:
    from dss_portal.accounts.openid import OpenIdIssuer

blueprint = Blueprint("openid", __name__)

log = logging.getLogger(__name__)

_KEPT = "openid"


def issuer() -> "OpenIdIssuer":
    """The configured issuer.  Raises Refused if none is configured."""
    found = components().openid
    if found is None:
        raise Refused("This server has no sign-in service; use a token.")
    return found


@blueprint.get("/signin")
@changes_state
async def begin() -> Redirect:
    """Redirect the browser to the issuer.  A signed cookie keeps state, nonce and PKCE verifier for ``finish``."""
    started = await issuer().start()
    session[_KEPT] = [started.state, started.nonce, started.verifier]
    return redirect_to(started.url, 303)


@blueprint.get("/api/oauth2cb")
@changes_state
async def finish() -> Redirect:
    """Callback of the issuer: open a session for the user that it authenticated, and redirect to the page that asked
    for the sign-in, or else to the home page.

    Raises Refused if this browser did not begin the sign-in, if it took too long, if the issuer refused the user or
    cannot be reached, or if the account is disabled.
    """
    pending = session.pop(_KEPT, None)
    state = request.args.get("state", "")
    if pending is None or not hmac.compare_digest(pending[0].encode(), state.encode()):
        raise Refused("This sign-in was not begun here, or it took too long. Begin again.")
    if "code" not in request.args:
        raise Refused("The sign-in service did not let you in.", 401)
    try:
        person = await issuer().finish(request.args["code"], nonce=pending[1], verifier=pending[2])
        user = await store.signed_in_by_issuer(person.email, person.name)
    except Refused:
        metrics.SIGN_INS.labels("issuer", "refused").inc()
        raise
    metrics.SIGN_INS.labels("issuer", "accepted").inc()
    await sign_in(user)
    ask_for_terms(user)
    log.info("signed in by the issuer", extra={"user": user.id})
    path = session.get(AFTER_SIGN_IN, addresses.HOME)
    if not terms_are_due():
        session.pop(AFTER_SIGN_IN, None)
    return redirect_to(components().settings.public_url.rstrip("/") + path, 303)
