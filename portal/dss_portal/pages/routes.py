"""The pages that belong to no feature (home, sign-in, token, terms, about), the page for errors, and the registration
of all other pages.
"""

from dataclasses import dataclass

from quart import Blueprint, Response, request, session
from werkzeug.exceptions import MethodNotAllowed, NotFound

from dss_portal.accounts import admin_pages as admin_users
from dss_portal.accounts import store as accounts
from dss_portal.accounts.origins import is_browser
from dss_portal.accounts.sessions import (
    AFTER_SIGN_IN,
    ask_for_terms,
    changes_state,
    clear_terms_due,
    sign_in_with_token,
    sign_out,
    terms_are_due,
)
from dss_portal.admin import pages as admin_overview
from dss_portal.admin.overview import TicketRow, newest_tickets
from dss_portal.dead_letters import admin_pages as admin_dead_letters
from dss_portal.device_sign_in import pages as device_sign_in
from dss_portal.live import pages as live
from dss_portal.models import Service, User
from dss_portal.notifications import pages as notifications
from dss_portal.pages import addresses, forms, rendering
from dss_portal.pages.form_pages import page_with_form
from dss_portal.pages.guards import only_our_forms, only_sysadmins, person
from dss_portal.pages.rendering import confirmation, page, see_other
from dss_portal.providers import admin_pages as admin_providers
from dss_portal.refusals import Refused
from dss_portal.sending import pages as sending
from dss_portal.services import admin_pages as admin_services
from dss_portal.services import pages as catalogue
from dss_portal.services.liveness import MissingProgram
from dss_portal.tickets import admin_pages as admin_tickets
from dss_portal.tickets import pages as own_tickets
from dss_portal.web import parameters
from dss_portal.web.answers import plain
from dss_portal.web.context import components
from dss_portal.web.errors import reference_answer
from dss_process.version import installed_version

blueprint = Blueprint("pages", __name__)

LATEST = 5
"""Number of tickets on the home page."""
blueprint.before_request(only_our_forms)
for name, function in rendering.FILTERS.items():
    blueprint.add_app_template_filter(function, name)


@blueprint.app_errorhandler(404)
async def _no_such_page(error: NotFound) -> Response:
    """The response for an unknown address: a page for a browser; for a program the text of the reference server, with
    which it may compare.
    """
    if request.path.startswith(("/api/", "/static/")) or not _is_for_people():
        return reference_answer(error)
    sentence = "There is no such page here. It may have moved, or the address has a mistake."
    return _secured(await page("refused.html", 404, sentence=sentence, title="No such page"))


@blueprint.app_errorhandler(405)
async def _no_such_method(error: MethodNotAllowed) -> Response:
    """The response to a method that an address does not have.  A browser that sends GET to an address for forms is
    redirected to the page with the form, and sees a page in other cases; a program gets the text of the reference
    server.
    """
    if request.path.startswith(("/api/", "/static/")) or not _is_for_people():
        return reference_answer(error)
    if (path := page_with_form()) is not None:
        return _secured(await see_other(path))
    sentence = "This address does not take what the browser has sent. Open the page again from the first page."
    answer = _secured(await page("refused.html", 405, sentence=sentence))
    answer.headers["Allow"] = reference_answer(error).headers["Allow"]
    return answer


@blueprint.app_errorhandler(Refused)
async def _refused_outside(error: Refused) -> Response:
    """The response to a refused request that is not for a page: plain text, but a page if a browser has requested an
    attachment (``/blobs/``), because people open these from a ticket's log.
    """
    if request.path.startswith("/blobs/") and _is_for_people():
        return _secured(await _refusal(error))
    return plain(error.text, error.status)


def _is_for_people() -> bool:
    return "text/html" in request.headers.get("Accept", "")


@blueprint.after_request
async def _secure(response: Response) -> Response:
    return _secured(response)


def _secured(response: Response) -> Response:
    """Add the headers that protect a page to ``response``, and return it.  A Content-Security-Policy that the page has
    set itself is kept.

    Files of users and providers have the same origin as the pages, but their media types keep browsers from running
    them as scripts.
    """
    response.headers.setdefault("Content-Security-Policy", rendering.content_policy())
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.errorhandler(Refused)
async def _refused(error: Refused) -> Response:
    """The response to a refused request for a page: a page with the reason.  With status 401, programs get only the
    text that old clients know.
    """
    if error.status == 401 and not _is_for_people():
        return plain(error.text, 401)
    return await _refusal(error)


async def _refusal(error: Refused) -> Response:
    return await page("refused.html", error.page_status, sentence=error.for_people)


@blueprint.get(addresses.HOME)
async def home() -> Response:
    found = await person()
    signed_in = found is not None and not terms_are_due()
    return await page("home.html", shown=await _shown(found.user) if found and signed_in else None)


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """What the home page shows to a signed-in user: the newest tickets with further data about them, and the services
    with their state.
    """

    tickets: list[TicketRow]
    facts: own_tickets.TicketListFacts
    services: list[tuple[Service, list[catalogue.Light], MissingProgram]]


async def _shown(user: User) -> _Shown:
    tickets = await newest_tickets(LATEST, user_id=user.id)
    return _Shown(
        tickets=tickets,
        facts=await own_tickets.list_facts(tickets),
        services=await catalogue.services_with_lights(),
    )


@blueprint.get(addresses.ABOUT)
async def about() -> Response:
    return await page("about.html", version=installed_version("portal"))


@blueprint.get(addresses.SIGN_IN)
@changes_state
async def token() -> Response:
    """Show the next step after ``/token`` was opened, or redirect to it: sign in, accept the terms of use, return to
    the page from which the user came, or get a token for ITK-SNAP.
    """
    found = await person()
    if found is None:
        return await _sign_in_page()
    if _return_is_due():
        return await see_other(session.pop(AFTER_SIGN_IN))
    if not found.terms_accepted:
        return await page("terms.html")
    life_s = components().settings.login_token_s
    fresh = await accounts.new_login_token(found.user, life_s)
    return await page("token.html", token=fresh, hours=round(life_s / 3600))


@blueprint.post(addresses.SIGN_IN)
async def sign_in() -> Response:
    """Sign in with the token in the form, and redirect: to the home page or, if the user must accept the terms of use
    or return to another page, to ``/token``.  With a wrong token, show the sign-in page again (401).
    """
    token = (await parameters.form()).get("token", "").strip()
    user = await sign_in_with_token(token)
    if user is None:
        return await _sign_in_page(wrong=True)
    ask_for_terms(user)
    is_done = user.terms_accepted_at is not None and not _return_is_due()
    return await see_other(addresses.HOME if is_done else addresses.SIGN_IN)


def _return_is_due() -> bool:
    """True if the sign-in is complete and must now return to the page from which the user came."""
    return AFTER_SIGN_IN in session and not terms_are_due()


@blueprint.post(addresses.TERMS)
async def accept_terms() -> Response:
    accepted = (await forms.submitted()).text("cb") == "on"
    found = await person()
    if found is not None and found.session is not None:
        await accounts.accept_terms(found.session, accepted=accepted)
        if accepted:
            clear_terms_due()
    if not accepted and is_browser():
        await sign_out()
    return await see_other(addresses.SIGN_IN if accepted else addresses.SIGN_OUT)


@blueprint.get(addresses.SIGN_OUT)
@changes_state
async def logout() -> Response:
    """End the session of a program at once.  A browser gets a page that asks for confirmation, because a link on any
    site can lead here.
    """
    found = await person()
    if is_browser() and found is not None and found.session is not None:
        return await confirmation(
            question="Sign out?",
            consequence="This browser needs a new token to sign in again.",
            verb="Sign out",
            back=addresses.HOME,
        )
    await sign_out()
    return await see_other(addresses.HOME)


@blueprint.post(addresses.SIGN_OUT)
async def confirmed_logout() -> Response:
    await sign_out()
    return await see_other(addresses.HOME)


async def _sign_in_page(*, wrong: bool = False) -> Response:
    issuer = components().openid is not None
    return await page("sign_in.html", status=401 if wrong else 200, wrong=wrong, issuer=issuer)


_admin = Blueprint("admin", __name__)
_admin.before_request(only_sysadmins)
for part in (
    admin_overview,
    admin_providers,
    admin_services,
    admin_tickets,
    admin_users,
    admin_dead_letters,
):
    _admin.register_blueprint(part.blueprint)
for child in (
    catalogue.blueprint,
    own_tickets.blueprint,
    sending.blueprint,
    notifications.blueprint,
    device_sign_in.blueprint,
    live.blueprint,
    _admin,
):
    blueprint.register_blueprint(child)
