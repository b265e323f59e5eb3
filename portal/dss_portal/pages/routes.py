"""The pages behind the old addresses: home, token, services, about."""

from datetime import UTC, datetime

from quart import Blueprint, Response, redirect, render_template, url_for
from werkzeug.wrappers import Response as Redirect

from dss_portal import parameters
from dss_portal.accounts import store as accounts
from dss_portal.accounts.sessions import identity, sign_in_with_token, sign_out
from dss_portal.models import Service, Worker
from dss_portal.services import store as services

blueprint = Blueprint("pages", __name__)

ALIVE_S, TIRED_S = 600, 3600  # the traffic lights of the old services page
LIGHTS = {
    "alive": "At work",
    "tired": "Not heard of for ten minutes",
    "away": "Nobody is at work; tickets wait",
}


@blueprint.after_request
async def _secure(response: Response) -> Response:
    """Nothing but our own style sheet is loaded, nothing runs, nobody frames us."""
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/")
async def home() -> Response:
    return await _page("home.html")


@blueprint.get("/about")
async def about() -> Response:
    return await _page("about.html")


@blueprint.get("/services")
async def service_list() -> Response | Redirect:
    """The catalogue with its health lights; for who has signed in."""
    if await identity() is None:
        return redirect(_to("pages.home"), 303)
    shown = [(service, light(service)) for service in await services.listed()]
    workers = await Worker.all().order_by("-heard_at").limit(20)
    return await _page("services.html", services=shown, workers=workers, words=LIGHTS)


@blueprint.get("/token")
async def token() -> Response:
    """Sign in; accept the terms of use; get a token for ITK-SNAP: whichever comes next."""
    found = await identity()
    if found is None:
        return await _page("sign_in.html")
    if not found.terms_accepted:
        return await _page("terms.html")
    life_s = parameters.settings().login_token_s
    fresh = await accounts.new_login_token(found.user, life_s)
    return await _page("token.html", token=fresh, hours=round(life_s / 3600))


@blueprint.post("/token")
async def sign_in() -> Response | Redirect:
    token = (await parameters.form()).get("token", "").strip()
    if await sign_in_with_token(token) is None:
        return await _page("sign_in.html", wrong=True, status=401)
    return redirect(_to("pages.home"), 303)


@blueprint.post("/acceptterms")
async def accept_terms() -> Redirect:
    accepted = (await parameters.form()).get("cb") == "on"
    found = await identity()
    if found is not None and found.session is not None:
        await accounts.accept_terms(found.session, accepted=accepted)
    return redirect(_to("pages.token" if accepted else "pages.logout"), 303)


@blueprint.get("/logout")
async def logout() -> Redirect:
    await sign_out()
    return redirect(_to("pages.home"), 303)


def light(service: Service) -> str:
    """``alive``, ``tired`` or ``away``, by when anybody who serves it was last heard."""
    if service.heard_at is None:
        return "away"
    silent_s = (datetime.now(UTC) - service.heard_at).total_seconds()
    return "alive" if silent_s < ALIVE_S else "tired" if silent_s < TIRED_S else "away"


def _to(endpoint: str) -> str:
    """An absolute address on the public origin, whatever host the request named."""
    settings = parameters.settings()
    return settings.public_url.rstrip("/") + url_for(endpoint)


async def _page(template: str, status: int = 200, **context: object) -> Response:
    found = await identity()
    settings = parameters.settings()
    html = await render_template(
        template,
        user=found.user if found else None,
        server=settings.public_url,
        prefix=settings.public_prefix,
        **context,
    )
    return Response(html, status, content_type="text/html; charset=utf-8")
