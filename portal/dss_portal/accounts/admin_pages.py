"""``/admin/users``: the page where sysadmins manage users and their tokens."""

from quart import Blueprint, Response, request

from dss_portal.accounts import api_tokens
from dss_portal.accounts import store as accounts
from dss_portal.accounts.sessions import current_user
from dss_portal.models import ApiToken, Tier, User
from dss_portal.pages import addresses, forms
from dss_portal.pages.numbers import NUMBER, days
from dss_portal.pages.rendering import confirmation, page, problem_of, see_other
from dss_portal.refusals import Refused
from dss_portal.web.context import components

blueprint = Blueprint("users", __name__, url_prefix=addresses.ADMIN)

SHOWN = 200

_USER = f"/users/<{NUMBER}:number>"


@blueprint.get("/users")
async def show(problem: str = "", at: str = "") -> Response:
    """The page.  If ``problem`` is a sentence, the status is 400 and the sentence is shown at the form ``at`` (``user``
    or ``token``).
    """
    edited, wanted = request.args.get("edit", ""), request.args.get("find", "").strip()
    return await page(
        "admin_users.html",
        status=400 if problem else 200,
        users=await User.filter(email__icontains=wanted).order_by("email").limit(SHOWN),
        wanted=wanted,
        limit=SHOWN,
        tiers=await Tier.all().order_by("max_tickets"),
        edited=await User.get_or_none(email=accounts.address(edited)) if edited else None,
        tokens=await api_tokens.listed(),
        scopes=api_tokens.SCOPES,
        problems={at: problem},
    )


@blueprint.post("/users")
async def save() -> Response:
    form = await forms.submitted()
    if problem := await problem_of(_save(form)):
        return await show(problem, at="user")
    return await see_other(addresses.ADMIN_USERS, f"{form.text('email')} was saved.")


@blueprint.post(f"{_USER}/token")
async def new_token(number: int) -> Response:
    """Make a one-time token and show it once, in the response itself: a redirect would have to store it."""
    user = await _user(number)
    life_s = components().settings.login_token_s
    return await page(
        "secret.html",
        name=f"One-time token of {user.email}",
        secret=await accounts.new_login_token(user, life_s),
        hint=f"It signs the user in once, within {round(life_s / 3600)} hours, "
        "in a browser or on ITK-SNAP's Connect tab.",
    )


@blueprint.route(f"{_USER}/disable", methods=["GET", "POST"])
async def disable(number: int) -> Response:
    user = await _user(number)
    _refuse_oneself(user)
    if request.method == "POST":
        await accounts.disable_user(user.email)
        return await see_other(addresses.ADMIN_USERS, f"{user.email} was disabled.")
    return await confirmation(
        question=f"Disable {user.email}?",
        consequence="Sessions and tokens of the user work no more, from the next request on. "
        "Tickets stay.",
        verb="Disable the user",
        back=addresses.ADMIN_USERS,
    )


@blueprint.post(f"{_USER}/enable")
async def enable(number: int) -> Response:
    user = await accounts.save_user((await _user(number)).email)
    return await see_other(addresses.ADMIN_USERS, f"{user.email} was enabled.")


@blueprint.post("/tokens")
async def create_token() -> Response:
    """Make a token for programs and show it once, in the response itself.  If the form is not valid, send the page with
    the reason.
    """
    form = await forms.submitted()
    try:
        secret = await _create_token(form)
    except (Refused, LookupError) as error:
        return await show(str(error.args[0]), at="token")
    return await page(
        "secret.html",
        name=f"API token of {form.text('email')}",
        secret=secret,
        hint="Programs send it as the header “Authorization: Bearer TOKEN”.",
    )


@blueprint.route(f"/tokens/<{NUMBER}:number>/revoke", methods=["GET", "POST"])
async def revoke_token(number: int) -> Response:
    token = await _token(number)
    if request.method == "POST":
        await api_tokens.revoke(number)
        return await see_other(addresses.ADMIN_USERS, f"API token {number} was revoked.")
    return await confirmation(
        question=f"Revoke API token {number}?",
        consequence=f"It is “{token.name}” of {token.user.email}. Programs that use it are "
        "refused from the next request on.",
        verb="Revoke the token",
        back=addresses.ADMIN_USERS,
    )


async def _save(form: forms.Form) -> None:
    """Save the user that the form describes.  Raises LookupError for an unknown tier; Refused for an invalid e-mail
    address, or if sysadmins take that right from themselves.
    """
    email, sysadmin = form.text("email"), form.text("sysadmin") == "on"
    if not sysadmin and accounts.address(email) == current_user().email:
        raise Refused("You cannot take the rights of a sysadmin from yourself.")
    await accounts.save_user(email, sysadmin=sysadmin, tier=form.text("tier") or None)


async def _create_token(form: forms.Form) -> str:
    """Create the API token that the form describes and return it.  Raises LookupError for an unknown user; Refused if
    no scope is chosen or the number of days is invalid.
    """
    user = await accounts.user_named(form.text("email"))
    scopes = [scope for scope in api_tokens.SCOPES if form.text(f"scope-{scope}") == "on"]
    if not scopes:
        raise Refused("Choose what the token is for.")
    life = days(form.text("days")) if form.text("days") else None
    return await api_tokens.create(user, form.text("name"), scopes, life)


def _refuse_oneself(user: User) -> None:
    if user.id == current_user().id:
        raise Refused("You cannot disable yourself.")


async def _user(number: int) -> User:
    """The user with that number.  Raises Refused if there is none."""
    found = await User.get_or_none(id=number)
    if found is None:
        raise Refused(f"There is no user {number}.", 404)
    return found


async def _token(number: int) -> ApiToken:
    """The token with that number.  Raises Refused if there is none or if it is revoked."""
    for token in await api_tokens.listed():
        if token.id == number:
            return token
    raise Refused(f"There is no API token {number}.", 404)
