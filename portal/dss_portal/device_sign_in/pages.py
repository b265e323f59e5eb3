"""``/device``: the page where a user allows a command line to sign in, and sees the command lines that are signed in."""

from quart import Blueprint, Response, request, session

from dss_portal.accounts import api_tokens, client_addresses
from dss_portal.accounts.sessions import AFTER_SIGN_IN, current_user, terms_are_due
from dss_portal.device_sign_in import store
from dss_portal.models import MachineSignIn
from dss_portal.pages import addresses, forms
from dss_portal.pages.guards import person
from dss_portal.pages.numbers import NUMBER
from dss_portal.pages.rendering import page, see_other
from dss_portal.refusals import Refused
from dss_portal.web.context import components

blueprint = Blueprint("machines", __name__, url_prefix=addresses.DEVICE)

UNKNOWN = "This code is unknown, has been answered, or has expired. Codes live for ten minutes."


@blueprint.before_request
async def only_signed_in() -> Response | None:
    """Redirect a user who has not signed in, or has yet to accept the terms of use, to the sign-in, which for a GET
    request leads back here.  None lets the request pass.
    """
    if await person() and not terms_are_due():
        session.pop(AFTER_SIGN_IN, None)
        return None
    if request.method == "GET":
        code = store.normalised_code(request.args.get("code", ""))
        query = f"?code={store.displayed_code(code)}" if code else ""
        session[AFTER_SIGN_IN] = addresses.DEVICE + query
    return await see_other(addresses.SIGN_IN)


@blueprint.get("")
async def show() -> Response:
    """The page without a code asks for a code.  If the link has a code, the page asks whether to allow that sign-in.

    A link works only for a request whose token is delivered to the machine on which the browser runs (it has a
    callback).  The code of any other request must be typed, so that a link from an attacker is not enough.
    """
    code = store.normalised_code(request.args.get("code", ""))
    if not code:
        return await _ask_for_code()
    found = await store.waiting(code)
    if found is None:
        return await _ask_for_code(UNKNOWN)
    return await _ask(found) if found.callback else await _ask_for_code()


@blueprint.post("")
async def typed() -> Response:
    """Ask whether to allow the sign-in whose code the user has typed.  For a wrong code, show the form again."""
    found = await store.waiting(store.normalised_code((await forms.submitted()).text("code")))
    if found is None:
        return await _wrong(UNKNOWN)
    return await _ask(found)


@blueprint.post("/answer")
async def answer() -> Response:
    form = await forms.submitted()
    allowed = form.text("answer") == "allow"
    try:
        back = await store.answer(
            store.normalised_code(form.text("code")), current_user(), allowed=allowed
        )
    except Refused as error:
        return await _wrong(error.for_people)
    shown = await page("machine_answered.html", allowed=allowed)
    if back:
        shown.headers["Refresh"] = f"0; url={back}"
    return shown


@blueprint.post(f"/<{NUMBER}:number>/out")
async def sign_out(number: int) -> Response:
    await store.sign_out(current_user(), number)
    return await see_other(addresses.DEVICE, "It is signed out; its next request is refused.")


async def _wrong(problem: str) -> Response:
    """The response to a wrong code: the form again, with the sentence ``problem``.  Counts towards the limit for wrong
    tokens; raises Refused (429) if it is reached.
    """
    components().limits.failed_logins.count(client_addresses.key())
    return await _ask_for_code(problem)


async def _ask_for_code(problem: str = "") -> Response:
    return await page(
        "machines.html",
        status=400 if problem else 200,
        problem=problem,
        tokens=await store.signed_in(current_user()),
    )


async def _ask(found: MachineSignIn) -> Response:
    here = client_addresses.key()
    return await page(
        "machine_asks.html",
        asked=found,
        code=store.displayed_code(found.code),
        scopes={scope: api_tokens.SCOPES[scope] for scope in found.scopes.split()},
        elsewhere="" if here == found.address else here,
    )
