"""``/api/admin``: the API of itksnap-wt's ``-dssa`` commands and of admin scripts."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import wraps
from typing import ParamSpec

from quart import Blueprint, Response

from dss_portal import forms
from dss_portal.accounts.sessions import current_user, for_programs, signed_in
from dss_portal.admin import store
from dss_portal.refusals import Refused
from dss_portal.services import registration
from dss_portal.services.archives import FILE
from dss_portal.web import parameters
from dss_portal.web.answers import long_table, plain, table
from dss_portal.web.context import components

blueprint = Blueprint("admin", __name__, url_prefix="/api/admin")

P = ParamSpec("P")
View = Callable[P, Awaitable[Response]]

MAX_AGE = timedelta(days=36500)  # dates before the year 1 cannot be computed

_PROVIDER = r"<regex('[\w\-]+'):provider>"
_HASH = "<regex('[a-f0-9]+'):githash>"


def sysadmin_only(view: View[P]) -> View[P]:
    """Wrap a view.  The result raises Refused as that of ``signed_in``, and for users who are not sysadmins at the
    moment of the request.
    """

    @wraps(view)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
        if not current_user().sysadmin:
            raise Refused("Insufficient privileges", 401)
        return await view(*args, **kwargs)

    return signed_in(guarded)


def provider_admin_only(view: View[P]) -> View[P]:
    """Wrap a view whose URL names a provider.  The result raises Refused as that of ``signed_in``, and unless the user
    is a sysadmin or an admin of that provider.
    """

    @wraps(view)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
        user = current_user()
        if not (user.sysadmin or await store.administers(user, str(kwargs["provider"]))):
            raise Refused("Insufficient privileges", 401)
        return await view(*args, **kwargs)

    return signed_in(guarded)


@blueprint.get("/providers")
@sysadmin_only
async def providers() -> Response:
    return table(("name",), [(provider.name,) for provider in await store.providers()])


@blueprint.post("/providers")
@sysadmin_only
async def add_provider() -> Response:
    await store.add_provider(await parameters.required("name"))
    return plain("success")


@blueprint.get(f"/providers/{_PROVIDER}/delete")
@sysadmin_only
@for_programs
async def remove_provider(provider: str) -> Response:
    await store.remove_provider(provider)
    return plain("None")


@blueprint.get(f"/providers/{_PROVIDER}/users")
@provider_admin_only
async def users(provider: str) -> Response:
    return table(("id", "email", "admin"), await store.provider_users(provider))


@blueprint.post(f"/providers/{_PROVIDER}/users")
@provider_admin_only
async def add_user(provider: str) -> Response:
    form = await parameters.form()
    email, admin = forms.of(form, "email"), form.get("admin", "0")
    if admin not in {"0", "1"}:
        raise Refused(f"'admin' must be 0 or 1, not '{admin}'.")
    await store.add_provider_user(provider, email, admin=admin == "1")
    return plain(f"Added user {email} to provider {provider}")


@blueprint.get(f"/providers/{_PROVIDER}/users/<int:user_id>/delete")
@provider_admin_only
@for_programs
async def remove_user(provider: str, user_id: int) -> Response:
    await store.remove_provider_user(provider, user_id)
    return plain("None")


@blueprint.get(f"/providers/{_PROVIDER}/services")
@provider_admin_only
async def services(provider: str) -> Response:
    found = await store.provider_services(provider)
    rows = [(s.name, s.version, s.githash, s.shortdesc) for s in found]
    return table(("name", "version", "githash", "shortdesc"), rows)


@blueprint.post(f"/providers/{_PROVIDER}/services")
@sysadmin_only
async def add_service(provider: str) -> Response:
    """Register a service of the provider and send its hash.  The form names either a git repository (``repo``,
    ``ref``), whose commit becomes the hash, or contains a service.json (``descriptor``), from which the hash is
    computed.
    """
    form = await parameters.form()
    owner = await store.provider_named(provider)
    if "descriptor" in form:
        return plain(await registration.from_upload(owner, FILE, form["descriptor"].encode()))
    repository, reference = forms.of(form, "repo"), form.get("ref", "")
    settings = components().settings
    return plain(await registration.from_git(owner, repository, reference, settings))


@blueprint.get(f"/providers/{_PROVIDER}/services/{_HASH}/delete")
@provider_admin_only
@for_programs
async def remove_service(provider: str, githash: str) -> Response:
    await store.remove_service(provider, githash)
    return plain("success")


@blueprint.get("/tickets")
@sysadmin_only
async def tickets() -> Response:
    columns = ("id", "email", "service", "status", "duration")
    return await long_table(columns, store.ticket_pages())


@blueprint.post("/tickets/purge/<any(completed, all):which>")
@sysadmin_only
async def purge(which: str) -> Response:
    """Delete tickets created more than ``days`` (or ``hours``) ago, 7 days by default, and send their number.

    ``completed`` deletes only tickets that have ended, ``all`` open ones as well.  Raises Refused if the age is no
    number or negative.
    """
    age = _age(await parameters.form())
    datastore = components().datastore
    count = await store.purge(datastore, completed_only=which == "completed", older_than=age)
    return plain(f"Purged {count} tickets")


def _age(form: dict[str, str]) -> timedelta:
    unit = "days" if "days" in form or "hours" not in form else "hours"
    text = form.get(unit, "7")
    try:
        age = timedelta(**{unit: float(text)})
    except (ValueError, OverflowError) as error:
        raise Refused(f"'{unit}' must be a number, not '{text}'.") from error
    if age < timedelta():
        raise Refused(f"'{unit}' must be 0 or more, not {text}.")
    return min(age, MAX_AGE)
