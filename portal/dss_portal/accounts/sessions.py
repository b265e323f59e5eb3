"""Who is asking.

Browsers and ITK-SNAP send quart-auth's cookie, under the name that all clients know; it holds
nothing but the signed id of a session in the database, so a session can be revoked and rights are
looked up at each request.  Programs may send a Bearer token instead.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec

from quart import Quart, Response, current_app, g, request
from quart_auth import AuthUser, QuartAuth, login_user, logout_user
from quart_auth import current_user as cookie_user
from werkzeug.exceptions import MethodNotAllowed

from dss_observability import metrics
from dss_portal.accounts import api_tokens, limits, store
from dss_portal.errors import NotSignedIn, Refused
from dss_portal.models import Session, User
from dss_portal.settings import Settings

P = ParamSpec("P")
View = Callable[P, Awaitable[Response]]

YEAR_S = 365 * 24 * 3600
EVERYTHING = frozenset(api_tokens.SCOPES)
_SCOPE_OF_BLUEPRINT = {"providers": "provider", "admin": "admin"}


@dataclass(frozen=True, kw_only=True)
class Identity:
    """``session`` is None for a Bearer token and in test mode."""

    user: User
    scopes: frozenset[str] = EVERYTHING
    session: Session | None = None
    terms_accepted: bool = False


def install(app: Quart, settings: Settings) -> None:
    """quart-auth as ITK-SNAP needs it: known name, host-only, a year, sent over plain http too."""
    app.secret_key = settings.secret_key.get_secret_value()
    QuartAuth(
        app,
        cookie_name="webpy_session_id",
        cookie_path="/",
        cookie_domain=None,
        cookie_http_only=True,
        cookie_samesite="Lax",
        cookie_secure=settings.public_is_https,
        duration=YEAR_S,
    )
    app.config.update(
        SESSION_COOKIE_NAME="dss_page",  # a sign-in on its way, a message for the next page
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.public_is_https,
    )
    app.before_request(refuse_other_sites)


async def identity() -> Identity | None:
    """Of this request, looked up once."""
    if "dss_identity" not in g:
        g.dss_identity = await _look_up()
    found: Identity | None = g.dss_identity
    return found


def current_user() -> User:
    """The user of a view that is ``signed_in``."""
    found: Identity = g.dss_identity
    return found.user


def signed_in(view: View[P]) -> View[P]:
    """Refuse who is not, or whose token is for something else, before anything else is looked at."""

    @wraps(view)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
        found = await identity()
        if found is None:
            raise NotSignedIn
        scope = _SCOPE_OF_BLUEPRINT.get(request.blueprint or "", "tickets")
        if scope not in found.scopes:
            raise Refused(f"This token is not valid for '{scope}'.", 401)
        _limiter().requests.count(str(found.user.id))
        return await view(*args, **kwargs)

    return guarded


def changes_state(view: View[P]) -> View[P]:
    """For the GET routes that old clients use to change something: HEAD must not."""

    @wraps(view)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
        if request.method == "HEAD":
            raise MethodNotAllowed(valid_methods=["GET"])
        return await view(*args, **kwargs)

    return guarded


async def sign_in_with_token(token: str) -> User | None:
    """Use up a one-time token and open a session; None if the token is not valid.

    Raises Refused after too many failures from one address.
    """
    failures = _limiter().failed_logins
    failures.check(request.remote_addr or "")
    user = await store.use_login_token(token)
    metrics.SIGN_INS.labels("token", "refused" if user is None else "accepted").inc()
    if user is None:
        failures.count(request.remote_addr or "")
        return None
    await sign_in(user)
    return user


async def sign_in(user: User) -> None:
    """Open a session under a new id, so that an id known before the sign-in is worth nothing."""
    login_user(AuthUser(await store.open_session(user)), remember=True)
    g.pop("dss_identity", None)


async def sign_out() -> None:
    """End the session, if there is one."""
    found = await identity()
    if found is not None and found.session is not None:
        await store.revoke_session(found.session)
        logout_user()


async def refuse_other_sites() -> None:
    """No page of another site may act with the cookie of ours.  Programs send no such headers."""
    navigates = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.method == "GET"
    from_afar = request.headers.get("Sec-Fetch-Site") in {"cross-site", "same-site"}
    # An issuer sends the browser back from its own site; there, ``state`` guards.
    api = request.path.startswith("/api/") and request.path != "/api/oauth2cb"
    if from_afar and (api or not navigates):
        raise Refused("Requests from other web sites are not accepted.", 403)


async def _look_up() -> Identity | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await _by_bearer(token.strip())
    if cookie_user.auth_id:
        session = await store.find_session(cookie_user.auth_id)
        if session is not None:
            accepted = session.terms_accepted
            return Identity(user=session.user, session=session, terms_accepted=accepted)
    return await _in_test_mode()


async def _by_bearer(token: str) -> Identity | None:
    found = await api_tokens.find(token)
    if found is None:
        return None
    return Identity(user=found.user, scopes=frozenset(found.scopes.split()))


async def _in_test_mode() -> Identity | None:
    """Everybody is the test user, as in the old system's ``--noauth``."""
    settings: Settings = current_app.config["DSS"]
    if settings.test_mode == "off":
        return None
    return Identity(user=await store.user_named(store.TEST_USER), terms_accepted=True)


def _limiter() -> limits.Limits:
    found: limits.Limits = current_app.extensions["dss_limits"]
    return found
