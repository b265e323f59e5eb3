"""Identifies the user of a request.

Browsers and ITK-SNAP send quart-auth's cookie, under the name that all clients know.  It contains only the signed id
of a session in the database, so sessions can be revoked, and rights are looked up at each request.  Programs may send
a Bearer token instead.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

from quart import Quart, Response, g, request, session
from quart_auth import AuthUser, login_user, logout_user
from quart_auth import current_user as cookie_user
from werkzeug.exceptions import MethodNotAllowed

from dss_observability import metrics
from dss_portal.accounts import api_tokens, client_addresses, origins, store
from dss_portal.accounts.session_cache import CACHED_PATHS
from dss_portal.models import Session, User
from dss_portal.refusals import NotSignedIn, Refused
from dss_portal.settings import Settings
from dss_portal.web.context import components
from dss_portal.web.signing import Auth, SessionInterface

P = ParamSpec("P")
R = TypeVar("R")
View = Callable[P, Awaitable[Response]]

WHO = "accounts.who"  # this endpoint responds before the terms are accepted
EVERYTHING = frozenset(api_tokens.SCOPES)
AFTER_SIGN_IN = "after_sign_in"
"""Key in the browser's session cookie.  Its value is the path of this portal to which the next sign-in redirects."""
_TERMS_DUE = "terms_due"
_SCOPES = {"/api/admin/": "admin", "/api/pro/": "provider"}
"""The scope that a token needs, by the beginning of the request's path.  Other paths need ``tickets``."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The user of a request, with the scopes that its token has (all for a session).  ``session`` is None for a Bearer
    token and in test mode; ``terms_accepted``: the session has the user's consent to the terms of use.
    """

    user: User
    scopes: frozenset[str] = EVERYTHING
    session: Session | None = None
    terms_accepted: bool = False


def install(app: Quart, settings: Settings) -> None:
    """Configure quart-auth for ITK-SNAP: a cookie with the name that ITK-SNAP knows, for this host only, valid for a
    year.  It is sent over plain HTTP too, unless the public address is https.
    """
    app.secret_key = settings.secret_key.get_secret_value()
    Auth(
        app,
        cookie_name="webpy_session_id",
        cookie_path="/",
        cookie_domain=None,
        cookie_http_only=True,
        cookie_samesite="Lax",
        cookie_secure=settings.public_is_https,
        duration=store.SESSION_LIFE_S,
    )
    app.session_interface = SessionInterface()
    app.config.update(
        SESSION_COOKIE_NAME="dss_page",  # a sign-in in progress, a message for the next page
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.public_is_https,
    )
    app.before_request(_refuse_other_sites)


async def _refuse_other_sites() -> None:
    origins.refuse_other_sites()  # called from a coroutine, because Quart runs plain functions in a thread


async def identity() -> Identity | None:
    """The identity of the sender of this request; None without a valid session or token.  In test mode, a request
    without a session or token has that of the test user.  Looked up at the first call, and kept for the request.
    """
    if "dss_identity" not in g:
        g.dss_identity = await _look_up()
    found: Identity | None = g.dss_identity
    return found


def current_user() -> User:
    """The user of the current request.  Only for views that are wrapped by ``signed_in``."""
    found: Identity = g.dss_identity
    return found.user


def signed_in(view: View[P]) -> View[P]:
    """Wrap a view.  The result raises Refused for a request without a session or valid token, with a token of another
    scope, above the rate limit, or of a user who has to accept the terms of use.
    """

    @wraps(view)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
        found = await identity()
        if found is None:
            raise NotSignedIn
        scope = _scope_of(request.path)
        if scope not in found.scopes:
            raise Refused(f"This token is not valid for '{scope}'.", 401)
        await _require_terms(found.user)
        components().limits.requests.count(str(found.user.id))
        return await view(*args, **kwargs)

    return guarded


async def _require_terms(user: User) -> None:
    """Raises Refused if the site requires consent to its terms of use and the user has not given it; not in test mode,
    nor for the endpoint WHO.

    If ``user`` shows no consent, the database is queried: ``user`` may be a cached copy from before the consent.
    """
    settings = components().settings
    asks = settings.require_terms and request.endpoint != WHO and settings.test_mode == "off"
    if asks and user.terms_accepted_at is None and not await store.has_accepted_terms(user):
        page = f"{settings.public_url.rstrip('/')}/token"
        raise Refused(f"Please accept the terms of use first: sign in at {page} in a browser.", 401)


def _scope_of(path: str) -> str:
    return next((s for start, s in _SCOPES.items() if path.startswith(start)), "tickets")


def changes_state(view: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Wrap a view of a GET route that changes something.  The result raises MethodNotAllowed for HEAD requests."""

    @wraps(view)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if request.method == "HEAD":
            raise MethodNotAllowed(valid_methods=["GET"])
        return await view(*args, **kwargs)

    guarded.changes_state = True  # type: ignore[attr-defined]  # for a test that looks for such views
    return guarded


def for_programs(view: View[P]) -> View[P]:
    """Wrap a view of a GET route that changes something and that old clients use.  The result refuses HEAD requests,
    and browsers unless they send a token for programs.

    Any web page could make a browser call such a route by a link, image or frame.  Browsers have other pages for the
    same purpose.
    """

    @wraps(view)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
        if origins.is_browser() and not sends_bearer():
            raise Refused("This changes something, so a browser must use the page for it.", 403)
        return await view(*args, **kwargs)

    return changes_state(guarded)


async def sign_in_with_token(token: str) -> User | None:
    """Use a one-time token and open a session; None if the token is not valid.

    Raises Refused for a wrong token after too many failures from one client address.  A valid token always works: 192
    bits cannot be guessed, and one address may be shared by a whole hospital.
    """
    user = await store.use_login_token(store.strip_pasted(token))
    metrics.SIGN_INS.labels("token", "refused" if user is None else "accepted").inc()
    if user is None:
        components().limits.failed_logins.count(client_addresses.key())
        return None
    await sign_in(user)
    return user


async def sign_in(user: User) -> None:
    """Open a session with a new id.  The session in the request's cookie ends; other sessions of the user continue."""
    before = await _session_of_cookie()
    login_user(AuthUser(await store.open_session(user)), remember=True)
    if before is not None:
        await store.revoke_session(before)
    g.pop("dss_identity", None)


def ask_for_terms(user: User) -> None:
    """Make the browser that has just signed in ``user`` show the terms of use first, unless they were accepted
    before.
    """
    session.pop(_TERMS_DUE, None)
    if user.terms_accepted_at is None:
        session[_TERMS_DUE] = True


def terms_are_due() -> bool:
    """True if this browser must show its user the terms of use first, because the user had not accepted them at
    sign-in.
    """
    return _TERMS_DUE in session


def clear_terms_due() -> None:
    """Note that this browser need not show its user the terms of use first any more."""
    session.pop(_TERMS_DUE, None)


async def sign_out() -> None:
    """End the session, if there is one.  Also forget the page to which a sign-in would have redirected."""
    session.pop(AFTER_SIGN_IN, None)
    found = await identity()
    if found is not None and found.session is not None:
        await store.revoke_session(found.session)
        logout_user()


async def _look_up() -> Identity | None:
    if sends_bearer():
        return await _by_bearer(request.headers["Authorization"].partition(" ")[2].strip())
    found = await _session_of_cookie()
    if found is None:
        return await _in_test_mode()
    return Identity(user=found.user, session=found, terms_accepted=found.terms_accepted)


async def _session_of_cookie() -> Session | None:
    session_id = cookie_user.auth_id
    if not session_id:
        return None
    if request.path.startswith(CACHED_PATHS) and components().settings.test_mode == "off":
        return await components().sessions.find(session_id)
    return await store.find_session(session_id)


def sends_bearer() -> bool:
    """True if the request carries a token for programs."""
    return request.headers.get("Authorization", "").partition(" ")[0].lower() == "bearer"


async def _by_bearer(token: str) -> Identity | None:
    found = await api_tokens.find(token)
    if found is None:
        return None
    return Identity(user=found.user, scopes=frozenset(found.scopes.split()))


async def _in_test_mode() -> Identity | None:
    """In test mode: the identity of the test user, for requests without a session or token, as with ``--noauth`` of the
    reference server.  Otherwise None.
    """
    settings = components().settings
    if settings.test_mode == "off":
        return None
    return Identity(user=await store.user_named(store.TEST_USER), terms_accepted=True)
