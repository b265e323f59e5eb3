"""Who is asking.

The cookie is quart-auth's, under the name that all clients know; it holds nothing but the signed id
of a session in the database, so a session can be revoked and rights are looked up at each request.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec

from quart import Quart, Response, g, request
from quart_auth import AuthUser, QuartAuth, login_user, logout_user
from quart_auth import current_user as cookie_user
from werkzeug.exceptions import MethodNotAllowed

from dss_portal.accounts import store
from dss_portal.errors import NotSignedIn, Refused
from dss_portal.models import Session, User
from dss_portal.settings import Settings

P = ParamSpec("P")
View = Callable[P, Awaitable[Response]]

YEAR_S = 365 * 24 * 3600


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
    app.before_request(refuse_other_sites)


async def current_session() -> Session | None:
    """The session of this request, looked up once."""
    if "dss_session" not in g:
        session_id = cookie_user.auth_id
        g.dss_session = await store.find_session(session_id) if session_id else None
    found: Session | None = g.dss_session
    return found


def current_user() -> User:
    """The user of a view that is ``signed_in``."""
    session: Session = g.dss_session
    return session.user


def signed_in(view: View[P]) -> View[P]:
    """Refuse who is not, before anything else is looked at."""

    @wraps(view)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
        if await current_session() is None:
            raise NotSignedIn
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


async def sign_in(user: User) -> None:
    """Open a session under a new id, so that an id known before the sign-in is worth nothing."""
    login_user(AuthUser(await store.open_session(user)), remember=True)
    g.pop("dss_session", None)


async def sign_out() -> None:
    """End the session, if there is one."""
    session = await current_session()
    if session is not None:
        await store.revoke_session(session)
        logout_user()


async def refuse_other_sites() -> None:
    """No page of another site may act with the cookie of ours.  Programs send no such headers."""
    navigates = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.method == "GET"
    from_afar = request.headers.get("Sec-Fetch-Site") in {"cross-site", "same-site"}
    if from_afar and (request.path.startswith("/api/") or not navigates):
        raise Refused("Requests from other web sites are not accepted.", 403)
